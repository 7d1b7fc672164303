"""A real but tiny teacher with random weights."""

from pathlib import Path

from kdmos_ros.train.config.teacher_config import WindowSpec

WINDOW = WindowSpec(
    lags_s=(0.4, -0.4), look_lags_s=(0.8, -0.8), range_m=20.0, pool_rows=1, ground_aligned=True
)


def make_tiny_teacher(folder: Path, threshold: float = 0.35) -> Path:
    """Write a teacher's folder, which loads and runs in milliseconds; its labels mean nothing."""
    import torch

    from kdmos_ros.train.config.teacher_config import TeacherConfig
    from kdmos_ros.train.fitting.metrics_file import write_metrics
    from kdmos_ros.train.fitting.trained_teacher import TrainedTeacher, rounded, save_teacher
    from kdmos_ros.train.networks.teacher import Teacher

    torch.manual_seed(0)
    shape = {"point_width": 8, "widths": (8, 16), "kernel": "cross"}
    network = rounded(Teacher(TeacherConfig(n_features=WINDOW.n_features, **shape))).eval()
    teacher = TrainedTeacher(network, WINDOW)
    save_teacher(teacher, folder)
    write_metrics(folder, {"teacher": teacher.source, "threshold": threshold, "iou_moving": 0.5})
    return folder
