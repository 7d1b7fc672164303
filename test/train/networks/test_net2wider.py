"""A narrower student, widened."""

import dataclasses

import pytest

from kdmos_ros.errors import ModelError

torch = pytest.importorskip("torch", reason="training needs torch")

from kdmos_ros.features.columns import motion_columns, point_columns  # noqa: E402
from kdmos_ros.features.spec import FeatureSpec  # noqa: E402
from kdmos_ros.features.visibility import VisibilitySpec  # noqa: E402
from kdmos_ros.train.config.student_config import small_config  # noqa: E402
from kdmos_ros.train.networks.net2wider import asking, extended, widened  # noqa: E402
from kdmos_ros.train.networks.student import Student  # noqa: E402

SIZES = {"n_rho": 32, "n_phi": 24, "halo": 4, "n_z": 6}
NARROW = small_config(7, 10, width=0.25, **SIZES)


def trained(config):
    """A student whose every weight and statistic is its own."""
    torch.manual_seed(3)
    student = Student(config)
    with torch.no_grad():
        for name, value in student.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2.0)
            elif value.dtype.is_floating_point and value.ndim == 1:
                value.uniform_(-0.5, 0.5)
            elif value.ndim > 1:
                value.mul_(2.5)  # as drawn, hardly anything comes through from the deepest level
    return student.eval()


def inputs(n=600):
    cells = torch.randint(0, 2 * 32 * 24, (n,))
    return torch.randn(n, 7), cells, torch.randint(0, 6, (n,)), torch.rand(2, 32 * 24, 10)


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("upsample", ["dysample", "transposed", "bilinear"])
def test_the_wider_student_says_the_same(attention, upsample):
    settings = {**SIZES, "attention": attention, "upsample": (upsample,) * 4}
    narrow = trained(small_config(7, 10, width=0.25, gate_pool=2, motion_stem=8, **settings))
    config = small_config(7, 10, width=0.75, gate_pool=2, motion_stem=16, **settings)
    wide = widened(narrow, config).eval()
    example = inputs()
    with torch.no_grad():
        expected, got = narrow(*example), wide(*example)
    assert expected.std() > 0.01
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    assert sum(p.numel() for p in wide.parameters()) > 4 * sum(
        p.numel() for p in narrow.parameters()
    )


def test_copies_learn_different_things():
    wide = widened(trained(NARROW), small_config(7, 10, width=0.5, **SIZES)).train()
    wide(*inputs()).square().sum().backward()
    weight = wide.bev.decoder[3].conv[1][0].conv.weight
    twins = weight.grad[:, 0::2] - weight.grad[:, 1::2]
    assert twins.abs().max() < 1e-4, "copies see the same"
    values = weight.detach()
    assert (values[:, 0::2] != values[:, 1::2]).float().mean() > 0.9
    upstream = wide.bev.decoder[3].conv[0][0].conv.weight.grad
    assert (upstream[0::2] - upstream[1::2]).abs().max() > 1e-3, "copies are taught differently"


def test_what_cannot_be_widened():
    narrow = trained(NARROW)
    with pytest.raises(ModelError, match="cannot be widened"):
        widened(narrow, dataclasses.replace(NARROW, decoder_widths=(24, 24, 12, 12)))
    with pytest.raises(ModelError, match="different layers"):
        widened(narrow, dataclasses.replace(NARROW, attention=False))
    with pytest.raises(ModelError, match="cannot be widened"):
        widened(trained(small_config(7, 10, width=0.5, **SIZES)), NARROW)


BEFORE = FeatureSpec(
    point=("d_rho", "visibility", "height"), visibility=VisibilitySpec((0.2, 0.8)), vacated=True
)
AFTER = FeatureSpec(
    point=("height", "d_rho", "x", "visibility"),
    visibility=VisibilitySpec((0.2, 0.4, 0.8), future_lags_s=(0.2,)),
    vacated=True,
)


@pytest.mark.parametrize(
    "spec",
    [
        BEFORE,
        AFTER,
        FeatureSpec(height_residuals=True, vacated=True),
        FeatureSpec(height_residuals=True, visibility_map=False),
        FeatureSpec(visibility_map=False),
    ],
)
def test_every_column_has_its_own_name(spec):
    for names, n in ((point_columns(spec), spec.n_point), (motion_columns(spec), spec.n_motion)):
        assert len(set(names)) == len(names) == n


@pytest.mark.parametrize("stem", [None, 8])
def test_more_features_change_nothing_at_first(stem):
    sizes = {**SIZES, "motion_stem": stem, "width": 0.25}
    small = trained(small_config(BEFORE.n_point, BEFORE.n_motion, **sizes))
    large = extended(small, BEFORE, AFTER).eval()
    _, cells, z, _ = inputs()
    points = torch.randn(len(cells), AFTER.n_point)
    motion = torch.rand(2, 32 * 24, AFTER.n_motion)
    of_old = [point_columns(AFTER).index(name) for name in point_columns(BEFORE)]
    cells_old = [motion_columns(AFTER).index(name) for name in motion_columns(BEFORE)]
    with torch.no_grad():
        expected = small(points[:, of_old], cells, z, motion[:, :, cells_old])
        torch.testing.assert_close(large(points, cells, z, motion), expected)
    assert large.config == small_config(AFTER.n_point, AFTER.n_motion, **sizes)
    large.train()(points, cells, z, motion).square().sum().backward()
    new = [i for i in range(AFTER.n_point) if i not in of_old]
    assert large.encoder.layers[1].weight.grad[:, new].abs().max() > 0, "but it can learn them"


def test_features_cannot_go_away():
    student = trained(small_config(AFTER.n_point, AFTER.n_motion, width=0.25, **SIZES))
    with pytest.raises(ModelError, match="the new features lack 'x'"):
        extended(student, AFTER, BEFORE)


def test_queries_change_nothing_at_first():
    plain = trained(small_config(5, 3, **{**SIZES, "width": 0.25}))
    asks = asking(plain, 4).eval()
    _, cells, z, _ = inputs()
    points, motion = torch.randn(len(cells), 5), torch.rand(2, 32 * 24, 3)
    with torch.no_grad():
        torch.testing.assert_close(asks(points, cells, z, motion), plain(points, cells, z, motion))
    asks.train()(points, cells, z, motion).square().sum().backward()
    assert asks.key.weight.grad.abs().max() > 0, "but it can learn them"
    with pytest.raises(ModelError, match="queries of 4"):
        asking(asks, 8)
