from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ParameterValue(_message.Message):
    __slots__ = ("boolean", "integer", "number", "text", "list")
    BOOLEAN_FIELD_NUMBER: _ClassVar[int]
    INTEGER_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    LIST_FIELD_NUMBER: _ClassVar[int]
    boolean: bool
    integer: int
    number: float
    text: str
    list: ParameterList
    def __init__(self, boolean: bool = ..., integer: _Optional[int] = ..., number: _Optional[float] = ..., text: _Optional[str] = ..., list: _Optional[_Union[ParameterList, _Mapping]] = ...) -> None: ...

class ParameterList(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[ParameterValue]
    def __init__(self, values: _Optional[_Iterable[_Union[ParameterValue, _Mapping]]] = ...) -> None: ...

class Parameter(_message.Message):
    __slots__ = ("name", "type", "element_type", "default_value", "minimum", "maximum", "multiple_of", "choices", "minimum_length", "maximum_length", "unit", "help", "advanced", "verbs")
    class Type(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        TYPE_UNSPECIFIED: _ClassVar[Parameter.Type]
        BOOLEAN: _ClassVar[Parameter.Type]
        INTEGER: _ClassVar[Parameter.Type]
        NUMBER: _ClassVar[Parameter.Type]
        TEXT: _ClassVar[Parameter.Type]
        LIST: _ClassVar[Parameter.Type]
    TYPE_UNSPECIFIED: Parameter.Type
    BOOLEAN: Parameter.Type
    INTEGER: Parameter.Type
    NUMBER: Parameter.Type
    TEXT: Parameter.Type
    LIST: Parameter.Type
    class Verb(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        VERB_UNSPECIFIED: _ClassVar[Parameter.Verb]
        TRAIN: _ClassVar[Parameter.Verb]
        QC: _ClassVar[Parameter.Verb]
        PREDICT: _ClassVar[Parameter.Verb]
        IMPORT_MODEL: _ClassVar[Parameter.Verb]
        EXPORT_MODEL: _ClassVar[Parameter.Verb]
    VERB_UNSPECIFIED: Parameter.Verb
    TRAIN: Parameter.Verb
    QC: Parameter.Verb
    PREDICT: Parameter.Verb
    IMPORT_MODEL: Parameter.Verb
    EXPORT_MODEL: Parameter.Verb
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ELEMENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_VALUE_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    MULTIPLE_OF_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_LENGTH_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_LENGTH_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    HELP_FIELD_NUMBER: _ClassVar[int]
    ADVANCED_FIELD_NUMBER: _ClassVar[int]
    VERBS_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: Parameter.Type
    element_type: Parameter.Type
    default_value: ParameterValue
    minimum: float
    maximum: float
    multiple_of: float
    choices: _containers.RepeatedCompositeFieldContainer[ParameterValue]
    minimum_length: int
    maximum_length: int
    unit: str
    help: str
    advanced: bool
    verbs: _containers.RepeatedScalarFieldContainer[Parameter.Verb]
    def __init__(self, name: _Optional[str] = ..., type: _Optional[_Union[Parameter.Type, str]] = ..., element_type: _Optional[_Union[Parameter.Type, str]] = ..., default_value: _Optional[_Union[ParameterValue, _Mapping]] = ..., minimum: _Optional[float] = ..., maximum: _Optional[float] = ..., multiple_of: _Optional[float] = ..., choices: _Optional[_Iterable[_Union[ParameterValue, _Mapping]]] = ..., minimum_length: _Optional[int] = ..., maximum_length: _Optional[int] = ..., unit: _Optional[str] = ..., help: _Optional[str] = ..., advanced: bool = ..., verbs: _Optional[_Iterable[_Union[Parameter.Verb, str]]] = ...) -> None: ...

class Preset(_message.Message):
    __slots__ = ("name", "help", "parameters")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: ParameterValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[ParameterValue, _Mapping]] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    HELP_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    name: str
    help: str
    parameters: _containers.MessageMap[str, ParameterValue]
    def __init__(self, name: _Optional[str] = ..., help: _Optional[str] = ..., parameters: _Optional[_Mapping[str, ParameterValue]] = ...) -> None: ...
