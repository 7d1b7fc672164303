"""The teacher: order, time, gradients, emptiness; its convolutions against dense ones."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from kdmos_ros.train.config.teacher_config import TeacherConfig  # noqa: E402
from kdmos_ros.train.networks.sparse_convolution import (  # noqa: E402
    SparseConv,
    make_levels,
    offsets,
    voxel_keys,
)
from kdmos_ros.train.networks.teacher import Teacher  # noqa: E402

torch.set_num_threads(1)
CONFIG = TeacherConfig(n_features=3, voxel_m=0.5, point_width=8, widths=(8, 12, 16))


def scene(n=200, seed=0, extent=5.0):
    g = torch.Generator().manual_seed(seed)
    points = (torch.rand(n, 3, generator=g) - 0.5) * 2 * extent
    time = torch.randint(0, 3, (n,), generator=g) * 0.2
    return points, time, torch.randn(n, 3, generator=g)


@pytest.fixture
def teacher():
    torch.manual_seed(0)
    made = Teacher(CONFIG)
    made.train()
    with torch.no_grad():
        for _ in range(30):
            made(*scene())  # so that the normalisations know their input
    return made.eval()


@pytest.mark.parametrize("kernel", ["cube", "cross"])
def test_a_convolution_is_the_dense_one_at_occupied_voxels(kernel):
    torch.manual_seed(1)
    size, inputs, outputs = 6, 3, 4
    occupied = (torch.rand(size, size, size) < 0.4).nonzero()
    keys = voxel_keys(occupied - 2, torch.zeros(len(occupied), dtype=torch.int64))
    level = make_levels(keys, 1, kernel)[0][0]
    conv = SparseConv(inputs, outputs, kernel).double()
    x = torch.randn(len(occupied), inputs, dtype=torch.float64, requires_grad=True)
    dense_weight = torch.zeros(outputs, inputs, 3, 3, 3, dtype=torch.float64)
    for k, (dx, dy, dz) in enumerate(offsets(kernel)):
        dense_weight[:, :, dx + 1, dy + 1, dz + 1] = conv.weight[k].T
    i, j, k = occupied.T
    dense = torch.zeros(inputs, size, size, size, dtype=torch.float64)
    dense[:, i, j, k] = x.T
    expected = torch.nn.functional.conv3d(dense[None], dense_weight, padding=1)[0][:, i, j, k].T
    result = conv(x, level.neighbours)
    torch.testing.assert_close(result, expected)
    up = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(result, x, up)[0], torch.autograd.grad(expected, x, up)[0]
    )
    numeric = torch.autograd.gradcheck(lambda w: _convolve(x.detach(), level, w), (conv.weight,))
    assert numeric


def _convolve(x, level, weight):
    from kdmos_ros.train.networks.sparse_convolution import _Convolve

    return _Convolve.apply(x, level.neighbours, weight)


def test_coarser_voxels_are_twice_as_large():
    cells = torch.tensor([[-3, 0, 5], [-4, 1, 4], [-2, 0, 5], [7, -1, 0]])
    levels, _ = make_levels(voxel_keys(cells, torch.zeros(4, dtype=torch.int64)), 2, "cross")
    coarse = torch.div(cells, 2, rounding_mode="floor")
    groups = {tuple(c.tolist()) for c in coarse}
    assert levels[0].n_parents == len(groups) == len(levels[1].keys) == 3
    first, second, third = (
        levels[0].parent[levels[0].keys == voxel_keys(c[None], torch.tensor([0]))]
        for c in cells[:3]
    )
    assert first == second != third


def test_the_result_does_not_depend_on_the_order_of_rows(teacher):
    points, time, features = scene()
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(3))
    newest = (time == 0).nonzero().squeeze(1)
    result = torch.full((len(points), 4), torch.nan)
    result[newest] = teacher(points, time, features)
    shuffled = torch.full((len(points), 4), torch.nan)
    shuffled[order[(time[order] == 0)]] = teacher(points[order], time[order], features[order])
    torch.testing.assert_close(result, shuffled, equal_nan=True, atol=1e-5, rtol=1e-4)


def test_only_points_of_the_newest_scan_are_answered(teacher):
    points, time, features = scene()
    assert teacher(points, time, features).shape == (int((time == 0).sum()), 4)


def test_time_is_told_apart(teacher):
    """The same points at another time are another scene; a repeated point is not."""
    points, time, features = scene()
    result = teacher(points, time, features)
    later = teacher(points, torch.where(time > 0.3, time + 0.4, time), features)
    assert (result - later).abs().max() > 1e-3
    sign = teacher(points, torch.where(time > 0, -time, time), features)
    assert (result - sign).abs().max() > 1e-3, "past and future are the same to it"
    past = (time > 0).nonzero()[:5].squeeze(1)
    again = [torch.cat((v, v[past])) for v in (points, time, features)]
    torch.testing.assert_close(teacher(*again), result, atol=1e-5, rtol=1e-4)


def test_samples_of_a_batch_do_not_meet(teacher):
    a, b = scene(seed=1), scene(seed=2)
    both = [torch.cat(pair) for pair in zip(a, b, strict=True)]
    sample = torch.arange(2).repeat_interleave(200)
    expected = torch.cat((teacher(*a), teacher(*b)))
    torch.testing.assert_close(teacher(*both, sample), expected, atol=1e-5, rtol=1e-4)


def test_moving_everything_by_whole_voxels_changes_nothing(teacher):
    points, time, features = scene()
    moved = points + torch.tensor([4 * 0.5 * 3, -4 * 0.5, 0.0])  # coarsest voxels, too
    torch.testing.assert_close(
        teacher(moved, time, features), teacher(points, time, features), atol=1e-4, rtol=1e-3
    )


def test_gradients_reach_every_parameter_and_the_past():
    torch.manual_seed(0)
    teacher = Teacher(CONFIG)
    points, time, features = scene()
    features.requires_grad_()
    teacher(points, time, features).square().sum().backward()
    for name, parameter in teacher.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    assert features.grad[time > 0].abs().sum() > 0, "the past teaches nothing"


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_or_no_points(n, training):
    teacher = Teacher(CONFIG).train(training)
    points, time, features = (v[:n] for v in scene())
    result = teacher(points, torch.zeros_like(time), features)
    assert result.shape == (n, 4) and torch.isfinite(result).all()
    result.sum().backward()


def test_no_newest_scan_gives_no_rows(teacher):
    points, time, features = scene()
    assert teacher(points, time + 1, features).shape == (0, 4)


def test_mixed_precision_is_close(teacher):
    batch = scene()
    with torch.autocast("cpu", torch.bfloat16):
        rough = teacher(*batch)
    fine = teacher(*batch)
    assert (rough.float() - fine).abs().mean() < 0.1 * fine.abs().mean() + 0.05


def test_it_learns_what_moved():
    """A cluster that was elsewhere before is told from one that was not, by time alone."""
    torch.manual_seed(0)
    teacher = Teacher(TeacherConfig(n_features=1, voxel_m=0.5, point_width=8, widths=(8, 8)))
    optimizer = torch.optim.Adam(teacher.parameters(), 1e-2)
    rng = np.random.default_rng(0)
    for _ in range(60):
        batch, labels = _movers(rng)
        loss = torch.nn.functional.cross_entropy(teacher(*batch), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    batch, labels = _movers(rng)
    with torch.no_grad():
        right = (teacher.eval()(*batch).argmax(1) == labels).float().mean()
    assert right > 0.9, float(right)


def _movers(rng):
    """Twelve boxes seen now and 0.4 s ago; half of them have moved by 2 m."""
    points, time, labels = [], [], []
    for box in range(12):
        centre = np.array([box * 6.0, rng.uniform(-20, 20), 1.0])
        moves = bool(rng.random() < 0.5)
        for age in (0.0, 0.4):
            at = centre - [0, 2.0 * age / 0.4 * moves, 0]
            points.append(at + rng.uniform(-0.4, 0.4, (20, 3)))
            time.append(np.full(20, age))
        labels.append(np.full(20, 3 if moves else 1))
    points, time = np.concatenate(points), np.concatenate(time)
    batch = (torch.from_numpy(points).float(), torch.from_numpy(time).float())
    return (*batch, torch.zeros(len(points), 1)), torch.from_numpy(np.concatenate(labels))


@pytest.mark.parametrize(
    "wrong", [{"voxel_m": 0}, {"widths": ()}, {"kernel": "ball"}, {"point_width": 0}]
)
def test_shapes_that_cannot_be(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TeacherConfig(n_features=3, **wrong)
