from dl4mic.v1 import data_pb2 as _data_pb2
from dl4mic.v1 import job_pb2 as _job_pb2
from dl4mic.v1 import parameter_pb2 as _parameter_pb2
from dl4mic.v1 import request_pb2 as _request_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Network(_message.Message):
    __slots__ = ("name", "title", "summary", "service", "version", "contract_version", "task", "supervision", "axes", "parameters", "presets", "resources", "outputs", "licence", "citations", "python_versions", "package_versions", "devices", "model_formats")
    class PackageVersionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_VERSION_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    SUPERVISION_FIELD_NUMBER: _ClassVar[int]
    AXES_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    PRESETS_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    LICENCE_FIELD_NUMBER: _ClassVar[int]
    CITATIONS_FIELD_NUMBER: _ClassVar[int]
    PYTHON_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    PACKAGE_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FORMATS_FIELD_NUMBER: _ClassVar[int]
    name: str
    title: str
    summary: str
    service: str
    version: str
    contract_version: str
    task: str
    supervision: _data_pb2.Dataset.Supervision
    axes: _containers.RepeatedScalarFieldContainer[str]
    parameters: _containers.RepeatedCompositeFieldContainer[_parameter_pb2.Parameter]
    presets: _containers.RepeatedCompositeFieldContainer[_parameter_pb2.Preset]
    resources: Resources
    outputs: _containers.RepeatedCompositeFieldContainer[Output]
    licence: str
    citations: _containers.RepeatedCompositeFieldContainer[Citation]
    python_versions: _containers.RepeatedScalarFieldContainer[str]
    package_versions: _containers.ScalarMap[str, str]
    devices: _containers.RepeatedCompositeFieldContainer[ComputeDevice]
    model_formats: _containers.RepeatedCompositeFieldContainer[ModelFormat]
    def __init__(self, name: _Optional[str] = ..., title: _Optional[str] = ..., summary: _Optional[str] = ..., service: _Optional[str] = ..., version: _Optional[str] = ..., contract_version: _Optional[str] = ..., task: _Optional[str] = ..., supervision: _Optional[_Union[_data_pb2.Dataset.Supervision, str]] = ..., axes: _Optional[_Iterable[str]] = ..., parameters: _Optional[_Iterable[_Union[_parameter_pb2.Parameter, _Mapping]]] = ..., presets: _Optional[_Iterable[_Union[_parameter_pb2.Preset, _Mapping]]] = ..., resources: _Optional[_Union[Resources, _Mapping]] = ..., outputs: _Optional[_Iterable[_Union[Output, _Mapping]]] = ..., licence: _Optional[str] = ..., citations: _Optional[_Iterable[_Union[Citation, _Mapping]]] = ..., python_versions: _Optional[_Iterable[str]] = ..., package_versions: _Optional[_Mapping[str, str]] = ..., devices: _Optional[_Iterable[_Union[ComputeDevice, _Mapping]]] = ..., model_formats: _Optional[_Iterable[_Union[ModelFormat, _Mapping]]] = ...) -> None: ...

class ModelFormat(_message.Message):
    __slots__ = ("name", "title", "imported", "exported")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    IMPORTED_FIELD_NUMBER: _ClassVar[int]
    EXPORTED_FIELD_NUMBER: _ClassVar[int]
    name: str
    title: str
    imported: bool
    exported: bool
    def __init__(self, name: _Optional[str] = ..., title: _Optional[str] = ..., imported: bool = ..., exported: bool = ...) -> None: ...

class Resources(_message.Message):
    __slots__ = ("gpu", "gpu_memory_bytes", "memory_bytes", "cpus", "minimum_compute_capability", "maximum_compute_capability")
    class Gpu(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        GPU_UNSPECIFIED: _ClassVar[Resources.Gpu]
        NONE: _ClassVar[Resources.Gpu]
        USEFUL: _ClassVar[Resources.Gpu]
        NEEDED: _ClassVar[Resources.Gpu]
    GPU_UNSPECIFIED: Resources.Gpu
    NONE: Resources.Gpu
    USEFUL: Resources.Gpu
    NEEDED: Resources.Gpu
    GPU_FIELD_NUMBER: _ClassVar[int]
    GPU_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    CPUS_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_COMPUTE_CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_COMPUTE_CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    gpu: Resources.Gpu
    gpu_memory_bytes: int
    memory_bytes: int
    cpus: float
    minimum_compute_capability: str
    maximum_compute_capability: str
    def __init__(self, gpu: _Optional[_Union[Resources.Gpu, str]] = ..., gpu_memory_bytes: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., cpus: _Optional[float] = ..., minimum_compute_capability: _Optional[str] = ..., maximum_compute_capability: _Optional[str] = ...) -> None: ...

class Output(_message.Message):
    __slots__ = ("verb", "path", "title")
    VERB_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    verb: _parameter_pb2.Parameter.Verb
    path: str
    title: str
    def __init__(self, verb: _Optional[_Union[_parameter_pb2.Parameter.Verb, str]] = ..., path: _Optional[str] = ..., title: _Optional[str] = ...) -> None: ...

class Citation(_message.Message):
    __slots__ = ("text", "doi")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    DOI_FIELD_NUMBER: _ClassVar[int]
    text: str
    doi: str
    def __init__(self, text: _Optional[str] = ..., doi: _Optional[str] = ...) -> None: ...

class ComputeDevice(_message.Message):
    __slots__ = ("kind", "name", "memory_bytes")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    kind: _request_pb2.JobOptions.Device
    name: str
    memory_bytes: int
    def __init__(self, kind: _Optional[_Union[_request_pb2.JobOptions.Device, str]] = ..., name: _Optional[str] = ..., memory_bytes: _Optional[int] = ...) -> None: ...

class DescribeRequest(_message.Message):
    __slots__ = ("network",)
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    network: str
    def __init__(self, network: _Optional[str] = ...) -> None: ...

class ImageHeader(_message.Message):
    __slots__ = ("axes", "shape", "dtype", "pixel_size")
    class PixelSizeEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    AXES_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    PIXEL_SIZE_FIELD_NUMBER: _ClassVar[int]
    axes: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    dtype: str
    pixel_size: _containers.ScalarMap[str, float]
    def __init__(self, axes: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., dtype: _Optional[str] = ..., pixel_size: _Optional[_Mapping[str, float]] = ...) -> None: ...

class PredictImageRequest(_message.Message):
    __slots__ = ("header", "chunk")
    class Header(_message.Message):
        __slots__ = ("network", "model", "parameters", "image", "device")
        class ParametersEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: _parameter_pb2.ParameterValue
            def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_parameter_pb2.ParameterValue, _Mapping]] = ...) -> None: ...
        NETWORK_FIELD_NUMBER: _ClassVar[int]
        MODEL_FIELD_NUMBER: _ClassVar[int]
        PARAMETERS_FIELD_NUMBER: _ClassVar[int]
        IMAGE_FIELD_NUMBER: _ClassVar[int]
        DEVICE_FIELD_NUMBER: _ClassVar[int]
        network: str
        model: _data_pb2.ModelReference
        parameters: _containers.MessageMap[str, _parameter_pb2.ParameterValue]
        image: ImageHeader
        device: _request_pb2.JobOptions.Device
        def __init__(self, network: _Optional[str] = ..., model: _Optional[_Union[_data_pb2.ModelReference, _Mapping]] = ..., parameters: _Optional[_Mapping[str, _parameter_pb2.ParameterValue]] = ..., image: _Optional[_Union[ImageHeader, _Mapping]] = ..., device: _Optional[_Union[_request_pb2.JobOptions.Device, str]] = ...) -> None: ...
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    header: PredictImageRequest.Header
    chunk: bytes
    def __init__(self, header: _Optional[_Union[PredictImageRequest.Header, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class PredictImageResponse(_message.Message):
    __slots__ = ("header", "chunk", "table")
    class Header(_message.Message):
        __slots__ = ("title", "image")
        TITLE_FIELD_NUMBER: _ClassVar[int]
        IMAGE_FIELD_NUMBER: _ClassVar[int]
        title: str
        image: ImageHeader
        def __init__(self, title: _Optional[str] = ..., image: _Optional[_Union[ImageHeader, _Mapping]] = ...) -> None: ...
    class Table(_message.Message):
        __slots__ = ("title", "csv")
        TITLE_FIELD_NUMBER: _ClassVar[int]
        CSV_FIELD_NUMBER: _ClassVar[int]
        title: str
        csv: str
        def __init__(self, title: _Optional[str] = ..., csv: _Optional[str] = ...) -> None: ...
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    header: PredictImageResponse.Header
    chunk: bytes
    table: PredictImageResponse.Table
    def __init__(self, header: _Optional[_Union[PredictImageResponse.Header, _Mapping]] = ..., chunk: _Optional[bytes] = ..., table: _Optional[_Union[PredictImageResponse.Table, _Mapping]] = ...) -> None: ...
