from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Removal(_message.Message):
    __slots__ = ("kind", "name", "size", "last_use_time")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Removal.Kind]
        JOB: _ClassVar[Removal.Kind]
        UPLOAD: _ClassVar[Removal.Kind]
        ENVIRONMENT: _ClassVar[Removal.Kind]
        LEFTOVER: _ClassVar[Removal.Kind]
    KIND_UNSPECIFIED: Removal.Kind
    JOB: Removal.Kind
    UPLOAD: Removal.Kind
    ENVIRONMENT: Removal.Kind
    LEFTOVER: Removal.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    LAST_USE_TIME_FIELD_NUMBER: _ClassVar[int]
    kind: Removal.Kind
    name: str
    size: int
    last_use_time: _timestamp_pb2.Timestamp
    def __init__(self, kind: _Optional[_Union[Removal.Kind, str]] = ..., name: _Optional[str] = ..., size: _Optional[int] = ..., last_use_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CleanRequest(_message.Message):
    __slots__ = ("dry_run", "kinds", "older_than")
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    OLDER_THAN_FIELD_NUMBER: _ClassVar[int]
    dry_run: bool
    kinds: _containers.RepeatedScalarFieldContainer[Removal.Kind]
    older_than: _duration_pb2.Duration
    def __init__(self, dry_run: bool = ..., kinds: _Optional[_Iterable[_Union[Removal.Kind, str]]] = ..., older_than: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class CleanResponse(_message.Message):
    __slots__ = ("removals", "removal_count", "freed_bytes")
    REMOVALS_FIELD_NUMBER: _ClassVar[int]
    REMOVAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    FREED_BYTES_FIELD_NUMBER: _ClassVar[int]
    removals: _containers.RepeatedCompositeFieldContainer[Removal]
    removal_count: int
    freed_bytes: int
    def __init__(self, removals: _Optional[_Iterable[_Union[Removal, _Mapping]]] = ..., removal_count: _Optional[int] = ..., freed_bytes: _Optional[int] = ...) -> None: ...

class DiagnoseRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Finding(_message.Message):
    __slots__ = ("subject", "level", "message", "hint")
    class Level(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        LEVEL_UNSPECIFIED: _ClassVar[Finding.Level]
        GOOD: _ClassVar[Finding.Level]
        CAUTION: _ClassVar[Finding.Level]
        FAULT: _ClassVar[Finding.Level]
    LEVEL_UNSPECIFIED: Finding.Level
    GOOD: Finding.Level
    CAUTION: Finding.Level
    FAULT: Finding.Level
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    subject: str
    level: Finding.Level
    message: str
    hint: str
    def __init__(self, subject: _Optional[str] = ..., level: _Optional[_Union[Finding.Level, str]] = ..., message: _Optional[str] = ..., hint: _Optional[str] = ...) -> None: ...

class DiagnoseResponse(_message.Message):
    __slots__ = ("findings",)
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    findings: _containers.RepeatedCompositeFieldContainer[Finding]
    def __init__(self, findings: _Optional[_Iterable[_Union[Finding, _Mapping]]] = ...) -> None: ...
