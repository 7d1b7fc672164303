"""A folded teacher says what the teacher says."""

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from kdmos_ros.train.config.teacher_config import TeacherConfig  # noqa: E402
from kdmos_ros.train.networks.folding import folded  # noqa: E402
from kdmos_ros.train.networks.sparse_convolution import RowNorm  # noqa: E402
from kdmos_ros.train.networks.teacher import Teacher  # noqa: E402


@pytest.mark.parametrize("kernel", ["cross", "cube"])
def test_a_folded_teacher_says_the_same(kernel):
    torch.manual_seed(0)
    config = TeacherConfig(n_features=5, point_width=8, widths=(8, 16), kernel=kernel)
    teacher = Teacher(config).eval()
    for module in teacher.modules():
        if isinstance(module, RowNorm):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 2)
            torch.nn.init.uniform_(module.bias, -1, 1)
    points = torch.rand(500, 3) * 4
    time = (torch.arange(500) % 3 - 1) * 0.4
    features = torch.rand(500, 5)
    with torch.no_grad():
        before = teacher(points, time, features)
        fast = folded(teacher)
        after = fast(points, time, features)
        again = teacher(points, time, features)
    assert not any(isinstance(m, RowNorm) for m in fast.modules())
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(again, before)
