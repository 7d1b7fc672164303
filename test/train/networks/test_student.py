"""Student network: configuration, parameter counts, tensor contract."""

import dataclasses
import json

import pytest

torch = pytest.importorskip("torch")

from student_harness import calibrated, inputs, tiny  # noqa: E402

from kdmos_ros.errors import ModelError  # noqa: E402
from kdmos_ros.train.networks.blocks import DropBlock  # noqa: E402
from kdmos_ros.train.networks.encoder import cell_max  # noqa: E402
from kdmos_ros.train.networks.student import (  # noqa: E402
    Student,
    StudentConfig,
    count_parameters,
    reference_config,
)
from kdmos_ros.train.networks.upsample import DySample, make_upsample  # noqa: E402


def tiny_reference(**settings):
    """KDMOS's network on a grid whose sizes do not divide evenly."""
    values = {"n_rho": 34, "n_phi": 22, "n_z": 3, **settings}
    return dataclasses.replace(reference_config(), **values)


# One level, no gate over the whole map: an output sees about ten columns to each side.
SHALLOW = {
    "appearance_widths": (8, 8),
    "motion_widths": (8,),
    "decoder_widths": (8,),
    "upsample": ("bilinear",),
    "attention": False,
}


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"n_rho": 20}, "n_rho"),
        ({"halo": 3}, "n_phi + 2 halo"),
        ({"halo": -1}, "halo"),
        ({"n_classes": 1}, "n_classes"),
        ({"n_z": 2.5}, "n_z"),
        ({"activation": "gelu"}, "activation"),
        ({"padding": "none"}, "padding"),
        ({"padding": "each_layer"}, "halo"),
        ({"upsample": ("bilinear",) * 3}, "upsample"),
        ({"upsample": ("nearest",) * 4}, "upsample"),
        ({"decoder_widths": (30, 16, 8, 8), "upsample": ("dysample",) * 4}, "upsample"),
        ({"motion_widths": ()}, "motion_widths"),
        ({"dropblock": 1.5}, "dropblock"),
        ({"attention": "yes"}, "attention"),
        ({"bottleneck": 0}, "bottleneck"),
    ],
)
def test_wrong_settings_are_named(settings, name):
    with pytest.raises(ModelError, match=name.replace("+", r"\+")):
        tiny(**settings)


@pytest.mark.parametrize(
    "values", [{"n_point_features": 5}, {"n_point_features": 5, "n_motion": 2, "depth": 3}]
)
def test_from_dict_rejects_missing_and_unknown(values):
    with pytest.raises(ModelError):
        StudentConfig.from_dict(values)


def test_a_setting_of_former_versions_is_passed_over():
    assert StudentConfig.from_dict({**tiny().to_dict(), "unused_attention": False}) == tiny()


@pytest.mark.parametrize("config", [tiny(), reference_config()])
def test_config_survives_json(config):
    assert StudentConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_parameter_counts_are_the_published_ones():
    with torch.device("meta"):
        kdmos = count_parameters(Student(reference_config()))
        base = count_parameters(Student(reference_config(upsample="transposed")))
        base2 = count_parameters(Student(reference_config(upsample="transposed", n_classes=2)))
    never_run = 5_512  # attention blocks that the published code builds in its gates
    assert kdmos + never_run == 4_031_366
    assert base + never_run == 4_364_518
    assert base2 + never_run == 4_362_406
    assert 0.076 <= 1 - kdmos / base <= 0.077


def test_published_upsamplers():
    def upsamplers(config):
        return sum(count_parameters(step.up) for step in Student(config).bev.decoder)

    with torch.device("meta"):
        assert upsamplers(reference_config()) == 15_488
        assert upsamplers(reference_config(upsample="transposed")) == 348_640


@pytest.mark.parametrize(
    "config",
    [
        tiny(),
        tiny(attention=False),
        tiny(upsample=("transposed", "bilinear", "dysample", "dysample"), dropblock=0.2),
        tiny_reference(),
    ],
)
def test_every_parameter_learns(config):
    torch.manual_seed(0)
    student = Student(config)
    logits = student(*inputs(config, batch=2))
    assert logits.shape == (50, config.n_classes)
    assert logits.dtype == torch.float32
    logits.square().sum().backward()
    assert [name for name, p in student.named_parameters() if p.grad is None] == []
    assert all(torch.isfinite(p.grad).all() for p in student.parameters())


def test_samples_of_a_batch_do_not_mix():
    config = tiny()
    student = calibrated(config)
    f, cell, z, motion = inputs(config, batch=2)
    second = cell >= config.n_cells
    alone = student(f[second], cell[second] - config.n_cells, z[second], motion[1:])
    torch.testing.assert_close(student(f, cell, z, motion)[second], alone, rtol=1e-4, atol=1e-5)


def test_a_point_reads_its_cell_and_height_bin():
    config = tiny()
    student = calibrated(config)
    f, cell, z, motion = inputs(config)
    occupied = torch.zeros(config.n_cells, dtype=torch.bool)
    occupied[cell] = True
    appearance = student.appearance_map(f, cell, occupied)
    dense = student.head(student.cell_features(appearance, motion))
    dense = dense.view(config.n_cells, config.n_z, config.n_classes)
    torch.testing.assert_close(student(f, cell, z, motion), dense[cell, z])


@pytest.mark.parametrize(
    ("settings", "seamless"),
    [
        # KDMOS's own padding; its samplers stop at the seam, transposed convolutions do not see it.
        ({"padding": "each_layer", "halo": 0, "upsample": ("transposed",) * 4}, True),
        ({"halo": 16, **SHALLOW}, True),  # the halo is wider than what an output sees
        ({"halo": 0, **SHALLOW}, False),
    ],
)
def test_rotating_the_input_rotates_the_output(settings, seamless):
    config = tiny(n_phi=32, **settings)
    student = calibrated(config)
    f, cell, z, motion = inputs(config, n_points=300)
    row, column = cell // config.n_phi, cell % config.n_phi
    turned = row * config.n_phi + (column + 16) % config.n_phi
    motion_map = motion.view(1, config.n_rho, config.n_phi, -1)
    motion_turned = motion_map.roll(16, dims=2).reshape(motion.shape)
    error = student(f, cell, z, motion) - student(f, turned, z, motion_turned)
    assert (error.abs().max() < 1e-4) == seamless


def test_no_points():
    config = tiny()
    student = Student(config).eval()
    assert student(*inputs(config, n_points=0)).shape == (0, config.n_classes)


def test_empty_cells_stay_zero_with_a_bottleneck():
    config = tiny_reference()
    student = Student(config).eval()
    occupied = torch.zeros(config.n_cells, dtype=torch.bool)
    occupied[7] = True
    appearance = student.appearance_map(torch.randn(3, 9), torch.tensor([7, 7, 7]), occupied)
    assert appearance.shape == (config.n_cells, 32)
    assert appearance[7].abs().sum() > 0
    assert appearance[~occupied].abs().sum() == 0


def test_cell_max_equals_torch_with_ties():
    g = torch.Generator().manual_seed(0)
    cells = torch.randint(0, 6, (40,), generator=g)
    values = torch.randint(-3, 3, (40, 3), generator=g).double()
    upstream = torch.randn(7, 3, generator=g, dtype=torch.float64)

    def reference(v):
        index = cells[:, None].expand_as(v)
        zeros = torch.zeros(7, 3, dtype=torch.float64)
        return zeros.scatter_reduce(0, index, v, "amax", include_self=False)

    ours, torchs = values.clone().requires_grad_(), values.clone().requires_grad_()
    result = cell_max(ours, cells, 7)
    torch.testing.assert_close(result, reference(torchs))
    assert (result[6] == 0).all()
    result.backward(upstream)
    reference(torchs).backward(upstream)
    torch.testing.assert_close(ours.grad, torchs.grad)


def test_dysample_without_offsets_is_bilinear():
    up = DySample(8)
    torch.nn.init.zeros_(up.offset.weight)
    x = torch.randn(2, 8, 5, 7)
    torch.testing.assert_close(up(x), make_upsample("bilinear", 8)(x), rtol=1e-4, atol=1e-5)


def test_dysample_moves_groups_by_their_offsets():
    """+4 in a group's x offsets (scope 0.25) looks one input pixel further right."""
    up = DySample(8)
    torch.nn.init.zeros_(up.offset.weight)
    up.offset.bias.data[:4] = 4.0  # x of group 0, its four sub-pixels
    x = torch.randn(1, 8, 6, 6)
    plain = make_upsample("bilinear", 8)(x)
    moved = up(x)
    torch.testing.assert_close(moved[:, 2:], plain[:, 2:], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(moved[:, :2, :, 1:-3], plain[:, :2, :, 3:-1], rtol=1e-4, atol=1e-5)


def test_dropblock_drops_squares_in_training_only():
    torch.manual_seed(0)
    block = DropBlock(0.3)
    x = torch.ones(4, 2, 40, 40)
    y = block(x)
    share = (y == 0).float().mean().item()
    assert 0.1 < share < 0.5
    assert torch.equal(y[:, 0] == 0, y[:, 1] == 0)
    assert y.mean().item() == pytest.approx(1.0, abs=0.01)
    assert torch.equal(block.eval()(x), x)
