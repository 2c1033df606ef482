from dl4mic.v1 import data_pb2 as _data_pb2
from dl4mic.v1 import parameter_pb2 as _parameter_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JobOptions(_message.Message):
    __slots__ = ("job_id", "title", "project", "priority", "labels", "deadline", "device")
    class Device(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        DEVICE_UNSPECIFIED: _ClassVar[JobOptions.Device]
        AUTO: _ClassVar[JobOptions.Device]
        CPU: _ClassVar[JobOptions.Device]
        GPU: _ClassVar[JobOptions.Device]
    DEVICE_UNSPECIFIED: JobOptions.Device
    AUTO: JobOptions.Device
    CPU: JobOptions.Device
    GPU: JobOptions.Device
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    title: str
    project: str
    priority: int
    labels: _containers.ScalarMap[str, str]
    deadline: _duration_pb2.Duration
    device: JobOptions.Device
    def __init__(self, job_id: _Optional[str] = ..., title: _Optional[str] = ..., project: _Optional[str] = ..., priority: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ..., deadline: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., device: _Optional[_Union[JobOptions.Device, str]] = ...) -> None: ...

class TrainRequest(_message.Message):
    __slots__ = ("network", "options", "data", "validation", "model", "preset", "parameters", "parent", "dry_run")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _parameter_pb2.ParameterValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_parameter_pb2.ParameterValue, _Mapping]] = ...) -> None: ...
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PRESET_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    network: str
    options: JobOptions
    data: _data_pb2.Dataset
    validation: _data_pb2.Dataset
    model: str
    preset: str
    parameters: _containers.MessageMap[str, _parameter_pb2.ParameterValue]
    parent: _data_pb2.ModelReference
    dry_run: bool
    def __init__(self, network: _Optional[str] = ..., options: _Optional[_Union[JobOptions, _Mapping]] = ..., data: _Optional[_Union[_data_pb2.Dataset, _Mapping]] = ..., validation: _Optional[_Union[_data_pb2.Dataset, _Mapping]] = ..., model: _Optional[str] = ..., preset: _Optional[str] = ..., parameters: _Optional[_Mapping[str, _parameter_pb2.ParameterValue]] = ..., parent: _Optional[_Union[_data_pb2.ModelReference, _Mapping]] = ..., dry_run: bool = ...) -> None: ...

class QcRequest(_message.Message):
    __slots__ = ("network", "options", "models", "data", "parameters", "prediction")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _parameter_pb2.ParameterValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_parameter_pb2.ParameterValue, _Mapping]] = ...) -> None: ...
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    network: str
    options: JobOptions
    models: _containers.RepeatedCompositeFieldContainer[_data_pb2.ModelReference]
    data: _data_pb2.Dataset
    parameters: _containers.MessageMap[str, _parameter_pb2.ParameterValue]
    prediction: str
    def __init__(self, network: _Optional[str] = ..., options: _Optional[_Union[JobOptions, _Mapping]] = ..., models: _Optional[_Iterable[_Union[_data_pb2.ModelReference, _Mapping]]] = ..., data: _Optional[_Union[_data_pb2.Dataset, _Mapping]] = ..., parameters: _Optional[_Mapping[str, _parameter_pb2.ParameterValue]] = ..., prediction: _Optional[str] = ...) -> None: ...

class PredictRequest(_message.Message):
    __slots__ = ("network", "options", "model", "data", "parameters")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _parameter_pb2.ParameterValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_parameter_pb2.ParameterValue, _Mapping]] = ...) -> None: ...
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    network: str
    options: JobOptions
    model: _data_pb2.ModelReference
    data: _data_pb2.Dataset
    parameters: _containers.MessageMap[str, _parameter_pb2.ParameterValue]
    def __init__(self, network: _Optional[str] = ..., options: _Optional[_Union[JobOptions, _Mapping]] = ..., model: _Optional[_Union[_data_pb2.ModelReference, _Mapping]] = ..., data: _Optional[_Union[_data_pb2.Dataset, _Mapping]] = ..., parameters: _Optional[_Mapping[str, _parameter_pb2.ParameterValue]] = ...) -> None: ...

class ImportModelRequest(_message.Message):
    __slots__ = ("network", "options", "source", "model", "format", "parameters")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _parameter_pb2.ParameterValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_parameter_pb2.ParameterValue, _Mapping]] = ...) -> None: ...
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    network: str
    options: JobOptions
    source: str
    model: str
    format: str
    parameters: _containers.MessageMap[str, _parameter_pb2.ParameterValue]
    def __init__(self, network: _Optional[str] = ..., options: _Optional[_Union[JobOptions, _Mapping]] = ..., source: _Optional[str] = ..., model: _Optional[str] = ..., format: _Optional[str] = ..., parameters: _Optional[_Mapping[str, _parameter_pb2.ParameterValue]] = ...) -> None: ...

class ExportModelRequest(_message.Message):
    __slots__ = ("network", "options", "model", "format", "parameters")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _parameter_pb2.ParameterValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_parameter_pb2.ParameterValue, _Mapping]] = ...) -> None: ...
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    network: str
    options: JobOptions
    model: _data_pb2.ModelReference
    format: str
    parameters: _containers.MessageMap[str, _parameter_pb2.ParameterValue]
    def __init__(self, network: _Optional[str] = ..., options: _Optional[_Union[JobOptions, _Mapping]] = ..., model: _Optional[_Union[_data_pb2.ModelReference, _Mapping]] = ..., format: _Optional[str] = ..., parameters: _Optional[_Mapping[str, _parameter_pb2.ParameterValue]] = ...) -> None: ...
