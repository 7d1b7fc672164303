#!/usr/bin/env bash
# Two ONNX Runtime packages install side by side, and removing one removes both.
#
# Package: onnxruntime 1.31.1, onnxruntime-openvino 1.24.1
# Expected: pip refuses two packages with the same files, or keeps them apart.
# Seen: both own the folder onnxruntime/, and neither names the other as a conflict. The one that
#   was installed last is the one that runs, of whichever version; pip list and pip check see
#   nothing. Uninstalling one deletes the other's files: `import onnxruntime` still works, on an
#   empty folder.
# Output seen:
#   installed                    pip lists                        runs
#   onnxruntime                  onnxruntime 1.31.1               1.31.1
#   then onnxruntime-openvino    1.31.1 and -openvino 1.24.1      1.24.1 with OpenVINO
#   onnxruntime once more        the same (already satisfied)     1.24.1 with OpenVINO
#   onnxruntime uninstalled      -openvino 1.24.1                 no InferenceSession
#   pip check: No broken requirements found.
# Why it matters: a package that requires onnxruntime brings it in beside a provider that was chosen
#   on purpose, and a benchmark of "onnxruntime 1.31.1" measures 1.24.1, or a node runs on the plain
#   CPU. Uninstall every variant, then install one; read the version from the module, and ask
#   get_available_providers().
#
# Exit status: 0 as described, 1 changed. Needs Python 3.11 or newer (for these versions).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
pip() { "$work/venv/bin/pip" --disable-pip-version-check "$@" 2>> "$work/pip.log"; }
runs() {
    "$work/venv/bin/python" -c '
import onnxruntime as ort
if hasattr(ort, "InferenceSession"):
    print(ort.__version__, *("OpenVINO" in p for p in ort.get_available_providers()[:1]))
else:
    print("no InferenceSession, module file", ort.__file__)'
}
listed() { pip list --format=freeze | grep '^onnxruntime' | tr '\n' ' '; }

pip install --quiet onnxruntime==1.31.1 numpy==2.2.6
first=$(runs)
echo "onnxruntime installed:       lists $(listed) runs (version, OpenVINO) $first"
pip install --quiet onnxruntime-openvino==1.24.1
second=$(runs)
echo "then onnxruntime-openvino:   lists $(listed) runs (version, OpenVINO) $second"
pip install --quiet onnxruntime==1.31.1
third=$(runs)
both=$(listed)
echo "onnxruntime once more:       lists $both runs (version, OpenVINO) $third"
pip uninstall --quiet --yes onnxruntime
left=$(listed)
last=$(runs)
echo "onnxruntime uninstalled:     lists $left runs $last"
check=$(pip check)
echo "pip check:                   $check"
[ "$first" = "1.31.1 False" ] && [ "$second" = "1.24.1 True" ] && [ "$third" = "1.24.1 True" ] &&
    [ "$both" = "onnxruntime==1.31.1 onnxruntime-openvino==1.24.1 " ] &&
    [ "$left" = "onnxruntime-openvino==1.24.1 " ] &&
    [ "$last" = "no InferenceSession, module file None" ] &&
    [ "$check" = "No broken requirements found." ]
