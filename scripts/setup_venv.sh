#!/bin/sh
# Make or update the virtual environment that `make` works in.
#
#   setup_venv.sh demo    what the demo needs
#   setup_venv.sh test    that, PyTorch, and the test and lint tools
#
# Environment: PYTHON (interpreter to use; default: the first suitable one on PATH),
# KDMOS_SKIP_DISK_CHECK=1. Ends with one clear line when something is missing. What pip says is
# kept in .venv/setup.log. The stamp .venv/ready-* is only written after success.
set -eu

oldest=10 # supported minor versions of Python 3
newest=13
demo_mb=2000 # half of it the simulated drive and its output
test_mb=2800 # with PyTorch's build for CPUs
cuda_mb=8000 # with its CUDA libraries; which build it is depends on where pip looks

cd "$(dirname "$0")/.."
venv=.venv
log=$venv/setup.log

say() { printf 'kdmos_ros: %s\n' "$*" >&2; }
die() {
    say "error: $*"
    exit 1
}

minor_version() { # of interpreter $1; empty if it does not run or is Python 2
    "$1" -c 'import sys; print(sys.version_info[1] if sys.version_info[0] == 3 else "")' \
        2>/dev/null || true
}

# Sets `python` and `minor`.
choose_python() {
    if [ -n "${PYTHON:-}" ]; then
        python=$PYTHON
        command -v "$python" >/dev/null 2>&1 || die "PYTHON=$python is not a program"
        minor=$(minor_version "$python")
    else
        python=
        for candidate in python3 python3.13 python3.12 python3.11 python3.10; do
            minor=$(minor_version "$candidate")
            if [ -n "$minor" ] && [ "$minor" -ge $oldest ] && [ "$minor" -le $newest ]; then
                python=$candidate
                break
            fi
        done
        if [ -z "$python" ]; then
            python=python3
            minor=$(minor_version python3)
            command -v python3 >/dev/null 2>&1 ||
                die "Python is missing; on Debian or Ubuntu: sudo apt install python3 python3-venv"
        fi
    fi
    if [ -z "$minor" ] || [ "$minor" -lt $oldest ]; then
        version=$("$python" --version 2>&1 || true)
        die "Python 3.$oldest to 3.$newest is needed, $python is ${version:-broken};" \
            "name another one: make PYTHON=python3.12"
    fi
    if [ "$minor" -gt $newest ]; then
        say "warning: Python 3.$minor is newer than the tested 3.$oldest to 3.$newest;" \
            "if the set-up fails, name another one: make PYTHON=python3.$newest"
    fi
}

# Sets `ros` to the sourced ROS 2 distribution that $python can use, else to "wheels".
choose_ros() {
    ros=wheels
    [ -n "${ROS_DISTRO:-}" ] || return 0
    if "$python" -c 'import rclpy' >/dev/null 2>&1; then
        ros=$ROS_DISTRO
    else
        say "warning: ROS 2 $ROS_DISTRO is sourced, but $python cannot import rclpy;" \
            "using rclpy from PyPI"
    fi
}

check_disk() {
    [ -z "${KDMOS_SKIP_DISK_CHECK:-}" ] || return 0
    if [ "$what" = test ] && [ -z "$(find $venv -maxdepth 5 -type d -name torch 2>/dev/null)" ]; then
        needed=$test_mb
    elif [ ! -x $venv/bin/kdmos ]; then
        needed=$demo_mb
    else
        return 0
    fi
    free=$(df -Pk . | awk 'NR == 2 { print int($4 / 1024) }')
    [ "$free" -ge "$needed" ] || die "the disk is too full: the set-up needs $needed MB here," \
        "$free MB are free (KDMOS_SKIP_DISK_CHECK=1 tries anyway)"
    if [ "$needed" = $test_mb ] && [ "$free" -lt $cuda_mb ]; then
        say "warning: $free MB are free here; PyTorch with CUDA libraries would need $cuda_mb MB"
    fi
}

make_venv() {
    if [ -e $venv ]; then
        made_for=$(cat $venv/made_for 2>/dev/null || true)
        if [ "$made_for" = "3.$minor $ros" ] && $venv/bin/python -c '' 2>/dev/null; then
            return 0
        fi
        if [ ! -e $venv/setup.log ]; then
            die "$venv was not made by make: move it away, then try again"
        fi
        say "$venv was made for Python and ROS ${made_for:-unknown}, not 3.$minor $ros: making it anew"
        rm -rf $venv
    fi
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        die "Python's venv module is missing; on Debian or Ubuntu: sudo apt install python3.$minor-venv"
    if ! mkdir $venv 2>/dev/null || ! : >$log; then
        die "cannot write to $(pwd)"
    fi
    # The sourced rclpy is outside the environment; what lies inside still comes first.
    packages=
    [ "$ros" = wheels ] || packages=--system-site-packages
    # shellcheck disable=SC2086 # an empty option must vanish
    "$python" -m venv $packages $venv >>$log 2>&1 || fail "the virtual environment was not made"
    printf '3.%s %s\n' "$minor" "$ros" >$venv/made_for
}

# Say in one line why the last step failed, as far as its log tells.
fail() {
    if grep -q 'No space left on device' $log; then
        die "the disk is full (also look at ${TMPDIR:-/tmp}, where pip unpacks); details: $log"
    elif grep -qE 'NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|Read timed out|ProxyError|SSLError|ConnectionResetError|IncompleteRead|IncompleteDownload|HTTPError|Connection broken|THESE PACKAGES DO NOT MATCH' $log; then
        die "a download failed: check the network, then run make again; details: $log"
    elif grep -q 'No matching distribution found' $log; then
        missing=$(sed -n 's/.*No matching distribution found for //p' $log | head -n 1)
        die "no package $missing for Python 3.$minor on $(uname -m); details: $log"
    fi
    reason=$(sed -n 's/^ERROR: //p' $log | head -n 1)
    die "$1${reason:+: $reason}; details: $log"
}

install() { # arguments of pip install
    # No isolation: sources build with the pinned setuptools. empy, pure Python, has no wheel.
    $venv/bin/python -m pip install --disable-pip-version-check --no-input --progress-bar off \
        --no-build-isolation --only-binary :all: --no-binary empy \
        --constraint $venv/constraints.txt "$@" >>$log 2>&1 || fail "pip failed"
}

# Constraints for this environment: those of the repository, but where the sourced ROS 2 was built
# for numpy 1, so is everything else of the system that the environment sees.
write_constraints() {
    cp constraints.txt $venv/constraints.txt
    [ "$ros" != wheels ] || return 0
    case $("$python" -c 'import numpy; print(numpy.__version__)' 2>/dev/null || true) in
    1.*) sed 's/^numpy==.*/numpy==1.26.4/' constraints.txt >$venv/constraints.txt ;;
    esac
}

# What the recipes of the Makefile source, in the repository root, before they run anything.
write_environment() {
    here=$(pwd -P | sed "s/'/'\\\\''/g")
    cat >$venv/environment.sh <<EOF
if [ "\$(pwd -P)" != '$here' ]; then
    echo 'kdmos_ros: error: this folder was moved or copied since its set-up: make clean, then make again' >&2
    exit 1
fi
VIRTUAL_ENV=\$PWD/$venv
PATH=\$VIRTUAL_ENV/bin:\$PATH
export VIRTUAL_ENV PATH
EOF
    [ "$ros" = wheels ] || return 0
    # Libraries and modules of another ROS 2 do not go with those of the wheels.
    cat >>$venv/environment.sh <<'EOF'
if [ -n "${ROS_DISTRO-}${_ROS_WHEELS_BOOTSTRAP_COMPLETE-}" ]; then
    unset LD_LIBRARY_PATH PYTHONPATH AMENT_PREFIX_PATH ROS_DISTRO _ROS_WHEELS_BOOTSTRAP_COMPLETE
fi
EOF
}

what=${1:-}
case $what in
demo) extras=tools ;;
test) extras=tools,clouds,velodyne,argoverse,train,test,dev ;;
*) die "usage: setup_venv.sh demo|test" ;;
esac

choose_python
choose_ros
check_disk
make_venv
rm -f $venv/ready-* # an interrupted update is not ready
: >$log
write_constraints
write_environment
stamp=$venv/ready-${ROS_DISTRO:-wheels} # as the Makefile names it
# shellcheck source=/dev/null
. $venv/environment.sh

say "setting up $venv for make $what (Python 3.$minor, ROS 2: $ros); log: $log"
install pip setuptools wheel
if [ "$what" = test ]; then
    # On its own and first: resolved with the rest, pip may download several builds of it.
    say "installing PyTorch (up to 2 GB to download)"
    install torch
fi
[ "$ros" != wheels ] || extras=ros,$extras
say "installing kdmos_ros[$extras]"
install --editable ".[$extras]"

touch "$stamp-demo"
[ "$what" = demo ] || touch "$stamp-test"
say "set-up done"
