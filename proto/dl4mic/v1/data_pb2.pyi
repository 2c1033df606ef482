from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Dataset(_message.Message):
    __slots__ = ("supervision", "source", "target", "axes", "class_names")
    class Supervision(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        SUPERVISION_UNSPECIFIED: _ClassVar[Dataset.Supervision]
        IMAGES: _ClassVar[Dataset.Supervision]
        PAIRED_IMAGES: _ClassVar[Dataset.Supervision]
        UNPAIRED_IMAGES: _ClassVar[Dataset.Supervision]
        NOISY_IMAGES: _ClassVar[Dataset.Supervision]
        BINARY_MASKS: _ClassVar[Dataset.Supervision]
        CLASS_MASKS: _ClassVar[Dataset.Supervision]
        LABEL_IMAGES: _ClassVar[Dataset.Supervision]
        OBJECT_MASKS: _ClassVar[Dataset.Supervision]
        BOXES: _ClassVar[Dataset.Supervision]
        LOCALISATIONS: _ClassVar[Dataset.Supervision]
        CLASS_TABLE: _ClassVar[Dataset.Supervision]
    SUPERVISION_UNSPECIFIED: Dataset.Supervision
    IMAGES: Dataset.Supervision
    PAIRED_IMAGES: Dataset.Supervision
    UNPAIRED_IMAGES: Dataset.Supervision
    NOISY_IMAGES: Dataset.Supervision
    BINARY_MASKS: Dataset.Supervision
    CLASS_MASKS: Dataset.Supervision
    LABEL_IMAGES: Dataset.Supervision
    OBJECT_MASKS: Dataset.Supervision
    BOXES: Dataset.Supervision
    LOCALISATIONS: Dataset.Supervision
    CLASS_TABLE: Dataset.Supervision
    SUPERVISION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    AXES_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAMES_FIELD_NUMBER: _ClassVar[int]
    supervision: Dataset.Supervision
    source: str
    target: str
    axes: str
    class_names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, supervision: _Optional[_Union[Dataset.Supervision, str]] = ..., source: _Optional[str] = ..., target: _Optional[str] = ..., axes: _Optional[str] = ..., class_names: _Optional[_Iterable[str]] = ...) -> None: ...

class ModelReference(_message.Message):
    __slots__ = ("name", "weights", "location")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    name: str
    weights: str
    location: str
    def __init__(self, name: _Optional[str] = ..., weights: _Optional[str] = ..., location: _Optional[str] = ...) -> None: ...

class Artifact(_message.Message):
    __slots__ = ("path", "title", "media_type", "size")
    PATH_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    path: str
    title: str
    media_type: str
    size: int
    def __init__(self, path: _Optional[str] = ..., title: _Optional[str] = ..., media_type: _Optional[str] = ..., size: _Optional[int] = ...) -> None: ...

class DataEntry(_message.Message):
    __slots__ = ("location", "size", "sha256", "modify_time", "complete")
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    MODIFY_TIME_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    location: str
    size: int
    sha256: str
    modify_time: _timestamp_pb2.Timestamp
    complete: bool
    def __init__(self, location: _Optional[str] = ..., size: _Optional[int] = ..., sha256: _Optional[str] = ..., modify_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., complete: bool = ...) -> None: ...

class PutDataRequest(_message.Message):
    __slots__ = ("header", "chunk")
    class Header(_message.Message):
        __slots__ = ("location", "size", "sha256", "offset")
        LOCATION_FIELD_NUMBER: _ClassVar[int]
        SIZE_FIELD_NUMBER: _ClassVar[int]
        SHA256_FIELD_NUMBER: _ClassVar[int]
        OFFSET_FIELD_NUMBER: _ClassVar[int]
        location: str
        size: int
        sha256: str
        offset: int
        def __init__(self, location: _Optional[str] = ..., size: _Optional[int] = ..., sha256: _Optional[str] = ..., offset: _Optional[int] = ...) -> None: ...
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    header: PutDataRequest.Header
    chunk: bytes
    def __init__(self, header: _Optional[_Union[PutDataRequest.Header, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class PutDataResponse(_message.Message):
    __slots__ = ("entry",)
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    entry: DataEntry
    def __init__(self, entry: _Optional[_Union[DataEntry, _Mapping]] = ...) -> None: ...

class GetDataRequest(_message.Message):
    __slots__ = ("location", "offset")
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    location: str
    offset: int
    def __init__(self, location: _Optional[str] = ..., offset: _Optional[int] = ...) -> None: ...

class GetDataResponse(_message.Message):
    __slots__ = ("header", "chunk", "sha256")
    class Header(_message.Message):
        __slots__ = ("size",)
        SIZE_FIELD_NUMBER: _ClassVar[int]
        size: int
        def __init__(self, size: _Optional[int] = ...) -> None: ...
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    header: GetDataResponse.Header
    chunk: bytes
    sha256: str
    def __init__(self, header: _Optional[_Union[GetDataResponse.Header, _Mapping]] = ..., chunk: _Optional[bytes] = ..., sha256: _Optional[str] = ...) -> None: ...

class ListDataRequest(_message.Message):
    __slots__ = ("location", "with_sha256", "page_size", "page_token")
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    WITH_SHA256_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    location: str
    with_sha256: bool
    page_size: int
    page_token: str
    def __init__(self, location: _Optional[str] = ..., with_sha256: bool = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDataResponse(_message.Message):
    __slots__ = ("entries", "next_page_token")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[DataEntry]
    next_page_token: str
    def __init__(self, entries: _Optional[_Iterable[_Union[DataEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteDataRequest(_message.Message):
    __slots__ = ("location",)
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    location: str
    def __init__(self, location: _Optional[str] = ...) -> None: ...

class DeleteDataResponse(_message.Message):
    __slots__ = ("deleted_files", "freed_bytes")
    DELETED_FILES_FIELD_NUMBER: _ClassVar[int]
    FREED_BYTES_FIELD_NUMBER: _ClassVar[int]
    deleted_files: int
    freed_bytes: int
    def __init__(self, deleted_files: _Optional[int] = ..., freed_bytes: _Optional[int] = ...) -> None: ...
