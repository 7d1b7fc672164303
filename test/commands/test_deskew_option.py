"""--deskew: alone, with a value, and before a bag."""

import pytest

from kdmos_ros.cli import make_parser
from kdmos_ros.commands._options import bag_options
from kdmos_ros.io.open_bag import BagOptions


@pytest.mark.parametrize(
    ("words", "mode"),
    [
        (["bag"], None),
        (["bag", "--deskew"], "true"),
        (["--deskew", "bag"], "true"),
        (["--deskew", "--lidar", "ouster", "bag"], "true"),
        (["--deskew", "auto", "bag"], "auto"),
        (["--deskew=false", "bag"], "false"),
        (["bag", "--deskew", "true"], "true"),
    ],
)
def test_values(words, mode):
    args = make_parser().parse_args(["eval", *words])
    assert str(args.bag) == "bag"
    assert bag_options(args).deskew == mode


@pytest.mark.parametrize("given", [["--base-to-lidar", "-1,0,-2"], ["--base-to-lidar=-1,0,-2"]])
def test_negative_numbers_need_no_sign_of_equality(given):
    args = make_parser().parse_args(["eval", *given, "bag", "--stamp-offset-ms", "-.5"])
    assert args.base_to_lidar[:3, 3].tolist() == [-1, 0, -2]
    assert args.stamp_offset_ms == -0.5


def test_other_values_are_refused(capsys):
    with pytest.raises(SystemExit):
        make_parser().parse_args(["eval", "bag", "--deskew=sometimes"])
    assert "--deskew" in capsys.readouterr().err


def test_unless_given_it_is_left_to_the_lidars_file():
    assert BagOptions().deskew is None
