from dl4mic.v1 import data_pb2 as _data_pb2
from dl4mic.v1 import request_pb2 as _request_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Job(_message.Message):
    __slots__ = ("id", "title", "network", "project", "caller", "priority", "labels", "state", "attempt", "waiting_reason", "error", "create_time", "start_time", "end_time", "deadline_time", "train", "qc", "predict", "import_model", "export_model", "progress", "metrics", "artifacts", "warnings", "model", "last_sequence", "cancel_requested")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Job.State]
        PENDING: _ClassVar[Job.State]
        STARTING: _ClassVar[Job.State]
        RUNNING: _ClassVar[Job.State]
        SUCCEEDED: _ClassVar[Job.State]
        FAILED: _ClassVar[Job.State]
        CANCELLED: _ClassVar[Job.State]
    STATE_UNSPECIFIED: Job.State
    PENDING: Job.State
    STARTING: Job.State
    RUNNING: Job.State
    SUCCEEDED: Job.State
    FAILED: Job.State
    CANCELLED: Job.State
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    WAITING_REASON_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_TIME_FIELD_NUMBER: _ClassVar[int]
    TRAIN_FIELD_NUMBER: _ClassVar[int]
    QC_FIELD_NUMBER: _ClassVar[int]
    PREDICT_FIELD_NUMBER: _ClassVar[int]
    IMPORT_MODEL_FIELD_NUMBER: _ClassVar[int]
    EXPORT_MODEL_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    ARTIFACTS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CANCEL_REQUESTED_FIELD_NUMBER: _ClassVar[int]
    id: str
    title: str
    network: str
    project: str
    caller: str
    priority: int
    labels: _containers.ScalarMap[str, str]
    state: Job.State
    attempt: int
    waiting_reason: str
    error: JobError
    create_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    deadline_time: _timestamp_pb2.Timestamp
    train: _request_pb2.TrainRequest
    qc: _request_pb2.QcRequest
    predict: _request_pb2.PredictRequest
    import_model: _request_pb2.ImportModelRequest
    export_model: _request_pb2.ExportModelRequest
    progress: Progress
    metrics: _containers.RepeatedCompositeFieldContainer[Metric]
    artifacts: _containers.RepeatedCompositeFieldContainer[_data_pb2.Artifact]
    warnings: _containers.RepeatedCompositeFieldContainer[Warning]
    model: str
    last_sequence: int
    cancel_requested: bool
    def __init__(self, id: _Optional[str] = ..., title: _Optional[str] = ..., network: _Optional[str] = ..., project: _Optional[str] = ..., caller: _Optional[str] = ..., priority: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ..., state: _Optional[_Union[Job.State, str]] = ..., attempt: _Optional[int] = ..., waiting_reason: _Optional[str] = ..., error: _Optional[_Union[JobError, _Mapping]] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., deadline_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., train: _Optional[_Union[_request_pb2.TrainRequest, _Mapping]] = ..., qc: _Optional[_Union[_request_pb2.QcRequest, _Mapping]] = ..., predict: _Optional[_Union[_request_pb2.PredictRequest, _Mapping]] = ..., import_model: _Optional[_Union[_request_pb2.ImportModelRequest, _Mapping]] = ..., export_model: _Optional[_Union[_request_pb2.ExportModelRequest, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., metrics: _Optional[_Iterable[_Union[Metric, _Mapping]]] = ..., artifacts: _Optional[_Iterable[_Union[_data_pb2.Artifact, _Mapping]]] = ..., warnings: _Optional[_Iterable[_Union[Warning, _Mapping]]] = ..., model: _Optional[str] = ..., last_sequence: _Optional[int] = ..., cancel_requested: bool = ...) -> None: ...

class JobError(_message.Message):
    __slots__ = ("code", "message", "hint", "files", "file_count")
    class Code(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CODE_UNSPECIFIED: _ClassVar[JobError.Code]
        INVALID_INPUT: _ClassVar[JobError.Code]
        DEPENDENCY_FAILED: _ClassVar[JobError.Code]
        DEADLINE: _ClassVar[JobError.Code]
        CANCELLED: _ClassVar[JobError.Code]
        NODE_LOST: _ClassVar[JobError.Code]
        PREEMPTED: _ClassVar[JobError.Code]
        CRASHED: _ClassVar[JobError.Code]
        UNRESPONSIVE: _ClassVar[JobError.Code]
        INTERNAL: _ClassVar[JobError.Code]
        OUT_OF_MEMORY: _ClassVar[JobError.Code]
        DISK_FULL: _ClassVar[JobError.Code]
        IMAGE_UNAVAILABLE: _ClassVar[JobError.Code]
        ENVIRONMENT_UNAVAILABLE: _ClassVar[JobError.Code]
        VOLUME_UNAVAILABLE: _ClassVar[JobError.Code]
        GPU_UNUSABLE: _ClassVar[JobError.Code]
    CODE_UNSPECIFIED: JobError.Code
    INVALID_INPUT: JobError.Code
    DEPENDENCY_FAILED: JobError.Code
    DEADLINE: JobError.Code
    CANCELLED: JobError.Code
    NODE_LOST: JobError.Code
    PREEMPTED: JobError.Code
    CRASHED: JobError.Code
    UNRESPONSIVE: JobError.Code
    INTERNAL: JobError.Code
    OUT_OF_MEMORY: JobError.Code
    DISK_FULL: JobError.Code
    IMAGE_UNAVAILABLE: JobError.Code
    ENVIRONMENT_UNAVAILABLE: JobError.Code
    VOLUME_UNAVAILABLE: JobError.Code
    GPU_UNUSABLE: JobError.Code
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    FILE_COUNT_FIELD_NUMBER: _ClassVar[int]
    code: JobError.Code
    message: str
    hint: str
    files: _containers.RepeatedCompositeFieldContainer[FileFault]
    file_count: int
    def __init__(self, code: _Optional[_Union[JobError.Code, str]] = ..., message: _Optional[str] = ..., hint: _Optional[str] = ..., files: _Optional[_Iterable[_Union[FileFault, _Mapping]]] = ..., file_count: _Optional[int] = ...) -> None: ...

class FileFault(_message.Message):
    __slots__ = ("path", "message")
    PATH_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    path: str
    message: str
    def __init__(self, path: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class JobEvent(_message.Message):
    __slots__ = ("sequence", "time", "attempt", "state", "progress", "metric", "heartbeat", "artifact", "warning", "checkpoint")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_FIELD_NUMBER: _ClassVar[int]
    WARNING_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    time: _timestamp_pb2.Timestamp
    attempt: int
    state: StateChange
    progress: Progress
    metric: Metric
    heartbeat: Heartbeat
    artifact: _data_pb2.Artifact
    warning: Warning
    checkpoint: Checkpoint
    def __init__(self, sequence: _Optional[int] = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., attempt: _Optional[int] = ..., state: _Optional[_Union[StateChange, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., metric: _Optional[_Union[Metric, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., artifact: _Optional[_Union[_data_pb2.Artifact, _Mapping]] = ..., warning: _Optional[_Union[Warning, _Mapping]] = ..., checkpoint: _Optional[_Union[Checkpoint, _Mapping]] = ...) -> None: ...

class StateChange(_message.Message):
    __slots__ = ("state", "waiting_reason", "error", "model")
    STATE_FIELD_NUMBER: _ClassVar[int]
    WAITING_REASON_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    state: Job.State
    waiting_reason: str
    error: JobError
    model: str
    def __init__(self, state: _Optional[_Union[Job.State, str]] = ..., waiting_reason: _Optional[str] = ..., error: _Optional[_Union[JobError, _Mapping]] = ..., model: _Optional[str] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("phase", "done", "total", "unit", "seconds_left", "failed")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    SECONDS_LEFT_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    phase: str
    done: float
    total: float
    unit: str
    seconds_left: float
    failed: int
    def __init__(self, phase: _Optional[str] = ..., done: _Optional[float] = ..., total: _Optional[float] = ..., unit: _Optional[str] = ..., seconds_left: _Optional[float] = ..., failed: _Optional[int] = ...) -> None: ...

class Metric(_message.Message):
    __slots__ = ("name", "value", "step", "unit")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    step: float
    unit: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ..., step: _Optional[float] = ..., unit: _Optional[str] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("memory_bytes", "gpu_memory_bytes", "gpu_utilisation")
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    GPU_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    GPU_UTILISATION_FIELD_NUMBER: _ClassVar[int]
    memory_bytes: int
    gpu_memory_bytes: int
    gpu_utilisation: float
    def __init__(self, memory_bytes: _Optional[int] = ..., gpu_memory_bytes: _Optional[int] = ..., gpu_utilisation: _Optional[float] = ...) -> None: ...

class Warning(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class Checkpoint(_message.Message):
    __slots__ = ("step",)
    STEP_FIELD_NUMBER: _ClassVar[int]
    step: float
    def __init__(self, step: _Optional[float] = ...) -> None: ...

class GetJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class ListJobsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "states", "network", "project", "labels")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    states: _containers.RepeatedScalarFieldContainer[Job.State]
    network: str
    project: str
    labels: _containers.ScalarMap[str, str]
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., states: _Optional[_Iterable[_Union[Job.State, str]]] = ..., network: _Optional[str] = ..., project: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ListJobsResponse(_message.Message):
    __slots__ = ("jobs", "next_page_token")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[Job]
    next_page_token: str
    def __init__(self, jobs: _Optional[_Iterable[_Union[Job, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchJobRequest(_message.Message):
    __slots__ = ("job_id", "after_sequence")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    after_sequence: int
    def __init__(self, job_id: _Optional[str] = ..., after_sequence: _Optional[int] = ...) -> None: ...

class ReadLogRequest(_message.Message):
    __slots__ = ("job_id", "attempt", "offset")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    attempt: int
    offset: int
    def __init__(self, job_id: _Optional[str] = ..., attempt: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class ReadLogResponse(_message.Message):
    __slots__ = ("text", "next_offset", "complete")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    NEXT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    text: str
    next_offset: int
    complete: bool
    def __init__(self, text: _Optional[str] = ..., next_offset: _Optional[int] = ..., complete: bool = ...) -> None: ...

class CancelJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class RetryJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class DeleteJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class DeleteJobResponse(_message.Message):
    __slots__ = ("freed_bytes",)
    FREED_BYTES_FIELD_NUMBER: _ClassVar[int]
    freed_bytes: int
    def __init__(self, freed_bytes: _Optional[int] = ...) -> None: ...
