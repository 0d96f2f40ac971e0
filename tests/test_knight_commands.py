"""The guide's command lines, token by token, and run configurations as the vendor's model zoo has them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.cells import Cell
from harness.declaration import DeclarationError
from harness.knight import configuration, script
from harness.knight.plan import Plan, plan_of
from harness.recipe import Recipe
from harness.sizes import Point
from harness.verdict import Refused
from tests.knight_host import cell_of, declared

QUANT, TO = "/my_project/quant", "/my_project/quant/to_compiler"
MODELS = "example/models"
TOOLS = script.Tools()
PROGRAMS = {
    "ppocr_det": "ch_PP-OCRv3_det_infer_512x896/ocrv3_det",
    "ppocr_cls": "ch_ppocr_mobile_v2.0_cls_infer/ocrv3_cls",
    "ppocr_rec": "en_PP-OCRv3_rec_infer_retrain_relu_4dims/ocrv3_rec",
}
QUANTISE = {
    "ppocr_det": "python run_quantization.py -f paddle -r all -ch TX511 -od -if infer_ocr_det_model "
    "-m example/models/ch_PP-OCRv3_det_infer_512x896/ocrv3_det.pdmodel "
    "-w example/models/ch_PP-OCRv3_det_infer_512x896/ocrv3_det.pdiparams -s /my_project/quant/ocrv3_det/ "
    "-bs 1 -i 50 -qm kl -is 1 3 512 896  --dump",
    "ppocr_cls": "python run_quantization.py -f paddle -r all -ch TX511 -if infer_ocr_cls_model "
    "-m example/models/ch_ppocr_mobile_v2.0_cls_infer/ocrv3_cls.pdmodel "
    "-w example/models/ch_ppocr_mobile_v2.0_cls_infer/ocrv3_cls.pdiparams -s /my_project/quant/ocrv3_cls/ "
    "-bs 1 -i 10 -is -1 3 48 192 --dump",
    "ppocr_rec": "python run_quantization.py -f paddle -r all -ch TX511 -if infer_ocr_rec_model "
    "-m example/models/en_PP-OCRv3_rec_infer_retrain_relu_4dims/ocrv3_rec.pdmodel "
    "-w example/models/en_PP-OCRv3_rec_infer_retrain_relu_4dims/ocrv3_rec.pdiparams -s /my_project/quant/ocrv3_rec/ "
    "-bs 1 -i 300 -b 16 -qm min_max -is 1 3 48 320 --dump",
}
INFER = {
    (
        "ppocr_det",
        "",
        500,
    ): "python run_quantization.py -r infer -ch TX511 -m /my_project/quant/ocrv3_det/ocrv3_det.onnx "
    "-if infer_ocr_det_model -bs 1 -i 500",
    ("ppocr_cls", "_quantize", 30): "python run_quantization.py -r infer -ch TX511 "
    "-m /my_project/quant/ocrv3_cls/ocrv3_cls_quantize.onnx -if infer_ocr_cls_model -bs 1 -i 30",
    (
        "ppocr_rec",
        "",
        2100,
    ): "python run_quantization.py -r infer -ch TX511 -m /my_project/quant/ocrv3_rec/ocrv3_rec.onnx "
    "-if infer_ocr_rec_model -bs 1 -i 2100",
    ("ppocr_rec", "_quantize", 2100): "python run_quantization.py -r infer -ch TX511 "
    "-m /my_project/quant/ocrv3_rec/ocrv3_rec_quantize.onnx -if infer_ocr_rec_model -bs 1 -i 2100 -b 16",
}


def plan(model: str, /, **options: object) -> Plan:
    return plan_of(cell_of(declared(model, **options)))


class TestScript:
    @pytest.mark.parametrize("name", QUANTISE)
    def test_quantising_is_the_guides_line(self, name):
        of = plan(name)
        stem = f"{MODELS}/{PROGRAMS[name]}"
        found = script.quantise(TOOLS, of, (f"{stem}.pdmodel", f"{stem}.pdiparams"), f"{QUANT}/{of.name}/")
        assert found == QUANTISE[name].split()

    @pytest.mark.parametrize(("name", "which", "count"), INFER)
    def test_inference_is_the_guides_line(self, name, which, count):
        of = plan(name)
        found = script.infer(TOOLS, of, f"{QUANT}/{of.name}/{of.name}{which}.onnx", count)
        assert found == INFER[name, which, count].split()

    @pytest.mark.parametrize("name", QUANTISE)
    def test_compiling_simulating_and_profiling_are_the_guides_lines(self, name):
        of = plan(name)
        out = f"{TO}/{of.name}/compile_dir"
        caffe = f"{QUANT}/{of.name}/caffe_model/{of.name}/{of.name}"
        assert (
            script.rne_compile(TOOLS, of, f"{QUANT}/{of.name}", out)
            == (
                f"Knight --chip TX5368A rne-compile --net {caffe}.prototxt --weight {caffe}.weight --outpath {out}/ "
                "--general-process 1"
            ).split()
        )
        by_onnx = replace(of, route="onnx")
        assert (
            script.rne_compile(TOOLS, by_onnx, f"{TO}/{of.name}", out)
            == (
                f"Knight --chip TX5368A rne-compile --onnx {TO}/{of.name}/{of.name}_quantize.onnx --outpath {out}/ "
                "--general-process 1"
            ).split()
        )
        files, to = script.compiled(of, out), f"{TO}/{of.name}"
        made = f"--weight {out}/{of.name}_r.weight --config {out}/{of.name}_r.cfg"
        binary = f"{to}/simulator_dir/input.bin"
        assert (
            script.npy2bin(TOOLS, f"{to}/input.npy", binary)
            == (f"python3 /TS-Knight-software/tools/npy2bin.py --input {to}/input.npy --output {binary}").split()
        )
        assert (
            script.rne_sim(TOOLS, of, binary, files, f"{to}/simulator_dir")
            == (
                f"Knight --chip TX5368A rne-sim --input {binary} {made} --outpath {to}/simulator_dir/ -fmt nchw"
            ).split()
        )
        assert (
            script.rne_profiling(TOOLS, of, files, f"{to}/profiling_dir")
            == (f"Knight --chip TX5368A rne-profiling {made} --outpath {to}/profiling_dir/").split()
        )

    def test_the_comparison_is_the_guides_line(self):
        dumped = f"{QUANT}/ocrv3_cls/dump/quant/0112:softmax_0.tmp_0/batch_0.npy"
        result = f"{TO}/ocrv3_cls/simulator_dir/result_0_p.txt"
        # The guide's shell needs a backslash before the colon, which is not part of the argument.
        assert (
            script.sim2quant_compare(TOOLS, dumped, result)
            == f"python3 sim2quant_compare.py -q {dumped} -s {result}".split()
        )

    def test_the_compiler_names_its_files_by_what_it_was_given(self):
        assert script.compiled(plan("ppocr_cls", route="onnx"), "out").config == "out/ocrv3_cls_quantize_r.cfg"

    def test_an_inference_function_of_ours_is_named_last(self):
        of = plan("ppocr_cls")
        assert script.infer(TOOLS, of, "m.onnx", 3, "p.py")[-2:] == ["-uds", "p.py"]
        assert script.quantise(TOOLS, of, ("a", "b"), "out", "p.py")[-2:] == ["-uds", "p.py"]


class TestConfiguration:
    @pytest.mark.parametrize(
        ("name", "shape", "bits", "mode"),
        [("det", "1 3 512 896", 8, "kl"), ("cls", "-1 3 48 192", 8, "min_max"), ("rec", "1 3 48 320", 16, "kl")],
    )
    def test_building_is_told_as_in_the_vendors_zoo(self, name, shape, bits, mode):
        of = plan(f"ppocr_{name}", mode=mode, iterations=10, dump=False, output_float=False)
        stem, out = f"weight/ocrV3_{name}/ocrV3_{name}", f"/TS-KnightDemo/Output/ocrV3_{name}"
        of = replace(of, name=f"ocrV3_{name}")
        found = configuration.build(
            of, (f"{stem}.pdmodel", f"{stem}.pdiparams"), (f"{out}/quant", f"{out}/npu"), "src/f.py"
        )
        assert found == {
            "quant": {
                "model": f"{stem}.pdmodel",
                "weight": f"{stem}.pdiparams",
                "framework": "paddle",
                "input-shapes": shape,
                "infer-func": f"infer_ocr_{name}_model",
                "bit-width": bits,
                "quant-mode": mode,
                "batch-size": 1,
                "iteration": 10,
                "run-mode": "quant",
                "save-dir": f"{out}/quant",
                "user-defined-script": "src/f.py",
            },
            "compile": {"onnx": f"{out}/quant/ocrV3_{name}_quantize.onnx", "save-dir": f"{out}/npu"},
        }
        assert configuration.compiled(of, f"{out}/npu") == f"{out}/npu/ocrV3_{name}_quantize_r.tsmodel"
        assert configuration.command("Knight", of, "build", "data/c.json") == (
            ["Knight", "--chip", "TX5368AV200", "build", "--run-config", "data/c.json"]
        )

    def test_running_and_profiling_are_told_as_in_the_vendors_zoo(self):
        assert configuration.simulate("m.tsmodel", "in.bin", "out") == {
            "run": {"input": "in.bin", "format": "nchw", "model": "m.tsmodel", "save-dir": "out"},
            "profiling": {"model": "m.tsmodel", "save-dir": "out"},
        }

    def test_onnx_has_no_weight_file_and_no_shape(self):
        of = plan("ppocr_det")
        quant = configuration.build(of, ("m.onnx",), ("q", "c"), "p.py")["quant"]
        assert (quant["framework"], quant["output-dequant"], quant["dump"]) == ("onnx", True, True)
        assert not {"weight", "input-shapes"} & set(quant)

    def test_bits_are_told_of_sixteen_where_it_infers(self):
        assert configuration.infer(plan("ppocr_rec"), "m.onnx", 3, "out", "p.py")["quant"]["bit-width"] == 16
        assert "bit-width" not in configuration.infer(plan("ppocr_cls"), "m.onnx", 3, "out", "p.py")["quant"]

    @pytest.mark.parametrize(
        ("spoil", "expected"),
        [
            ({"quant": {"quant_mode": "kl"}}, r"quant has no key 'quant_mode' \(did you mean 'quant-mode'\?\)"),
            ({"quants": {}}, "no section 'quants'; known: chip, quant"),
            ({"compile": {"onnx": "m"}}, "compile lacks save-dir"),
            ({"run": "m.tsmodel"}, "run is str, expected keys and values"),
        ],
    )
    def test_what_the_tools_do_not_know_is_refused(self, spoil, expected):
        with pytest.raises(Refused, match=expected):
            configuration.checked(spoil)


class TestPlan:
    @pytest.mark.parametrize(
        ("changed", "expected"),
        [
            ({"mod": "kl"}, r"options: 'mod' is not allowed.*did you mean 'mode'"),
            ({"mode": "kll"}, r"options\[mode\]: 'kll' is not allowed.*did you mean 'kl'"),
            ({"route": "tflite"}, r"options\[route\]: 'tflite'"),
            ({"chip": "TX512"}, r"options\[chip\]: 'TX512'.*did you mean 'TX511'"),
            ({"iterations": "50"}, r"options\[iterations\]: '50', expected int"),
            ({"iterations": 0}, "iterations from 1 on"),
            ({"infer_function": "infer; import os"}, "expected a name as Python functions have"),
            ({"infer_function": "lambda"}, "expected a name as Python functions have"),
            ({"name": "../ocr"}, "expected a name as Python functions have"),
            ({"output_float": True, "output_scale": 0.5}, "have no output_scale"),
        ],
    )
    def test_what_cannot_be_asked_is_refused(self, changed, expected):
        with pytest.raises(DeclarationError, match=expected):
            plan("ppocr_cls", **changed)

    def test_what_is_missing_is_named(self):
        model = declared("ppocr_cls")
        recipe = replace(model.recipes["knight"], options={"name": "ocrv3_cls"})
        with pytest.raises(DeclarationError, match="no infer_function, chip, iterations"):
            plan_of(cell_of(replace(model, recipes={"knight": recipe})))

    def test_a_larger_batch_is_not_guessed(self):
        model = declared("ppocr_cls")
        cell = Cell(model, model.form("onnx"), "knight", "int8", Point(batch=8))
        with pytest.raises(DeclarationError, match=r"fixed batch.*not published.*name points of batch 1"):
            plan_of(cell)

    def test_half_precision_is_none_of_its_bits(self):
        model = declared("ppocr_cls")
        recipe = replace(model.recipes["knight"], precision="fp16", foretold={})
        with pytest.raises(DeclarationError, match="precision 'fp16', expected int8 or int16"):
            plan_of(cell_of(replace(model, recipes={"knight": recipe})))


class TestRecipe:
    def test_it_has_cells_of_what_is_deployed_at_its_points_alone(self):
        from harness.cells import cells

        found = [cell.id for cell in cells(declared("ppocr_det")) if cell.backend == "knight"]
        assert found == ["ppocr_det.exported-knight-int8-bs1_512x896", "ppocr_det-knight-int8-bs1_512x896"]

    @pytest.mark.parametrize(
        ("said", "expected"),
        [
            ({"points": ("bs2",)}, r"points: 'bs2' is not allowed"),
            ({"foretold": {"onnx": "half"}}, r"foretold\[onnx\]: 'half' is in fp16, the recipe in int8"),
            ({"foretold": {"onyx": "half"}}, r"foretold: 'onyx' is not allowed.*did you mean 'onnx'"),
            (
                {"foretold": {}},
                r"precision: 'int8', but no form is 'onnx' in it; declare one, lossy.*or name it in fore",
            ),
        ],
    )
    def test_what_it_cannot_say_is_refused(self, said, expected):
        model = declared("ppocr_cls")
        recipe = replace(model.recipes["knight"], **said)
        with pytest.raises(DeclarationError, match=expected):
            replace(model, recipes={"knight": recipe})

    def test_references_that_cannot_make_what_is_compiled_need_no_form_that_foretells_it(self):
        model = declared("ppocr_cls")
        said = {"compiles": {"onnx": "program", "exported": "program"}, "foretold": {"onnx": "int8_minmax"}}
        recipe: Recipe = replace(model.recipes["knight"], **said)
        assert replace(model, recipes={"knight": recipe}).foretelling(model.form("onnx"), recipe).name == "int8_minmax"
