"""The detector of PP-OCRv3: guide 004 (OCR_DET), from a Paddle inference model to ONNX at opset 11."""

from dataclasses import replace

from harness.claim import Claim
from harness.form import Form, quantisable, quantised
from harness.model import Model, Training
from harness.quantisation import LayerBounds, Quantisation
from harness.recipe import Recipe
from harness.reference import Archive, Asset, DataSet, GoldenBoxes, Reference
from harness.sizes import BATCH, Point, Symbol, TensorSpec

PUBLISHED = Archive(
    name="ch_PP-OCRv3_det_infer.tar",
    url="https://paddleocr.bj.bcebos.com/PP-OCRv3/chinese/ch_PP-OCRv3_det_infer.tar",
)
PROGRAM = Asset(
    name="ch_PP-OCRv3_det_infer/inference.pdmodel",
    patterns=("**/ch_PP-OCRv3_det_infer/inference.pdmodel", "**/ocrv3_det.pdmodel"),
    licence="Apache-2.0",
    source="the model list of PaddleOCR (ch_PP-OCRv3_det), as guide 004 names it",
    sha256="74b075e6cfbc8206dab2eee86a6a8bd015a7be612b2bf6d1a1ef878d31df84f7",
    size=1413260,
    archive=PUBLISHED,
)
PARAMETERS = Asset(
    name="ch_PP-OCRv3_det_infer/inference.pdiparams",
    patterns=("**/ch_PP-OCRv3_det_infer/inference.pdiparams", "**/ocrv3_det.pdiparams"),
    licence="Apache-2.0",
    source="the model list of PaddleOCR (ch_PP-OCRv3_det), as guide 004 names it",
    sha256="7e9518c6ab706fe87842a8de1c098f990e67f9212b67c9ef8bc4bca6dc17b91a",
    size=2377917,
    archive=PUBLISHED,
)
ICDAR2015 = Asset(
    name="icdar2015",
    patterns=("**/icdar2015",),
    licence="research only; see https://rrc.cvc.uab.es/?ch=4",
    source="ICDAR 2015, challenge 4: 500 test pictures with their ground truth, in the layout of guide 003",
)
BUNDLED = Asset(
    name="ppocr_det.safetensors",
    patterns=("suites/references/ppocr_det/ppocr_det.safetensors",),
    licence="Apache-2.0",
    source="python -m harness.training ppocr_det",
    sha256="a4761b791d265917aeaee56ce5c2b72acc9e77c603aa11f795d0f9117ac09246",
    shipped=True,
)
SCENES = DataSet(
    name="scenes",
    reader="harness.datasets.icdar2015:Icdar2015",
    make="harness.datasets.rendered.icdar:render",
    params={"seed": 2, "count": 100},
    n=100,
    digest="98a3dd1f5c28da49f46a3c767318da695982dde4f7ef0989d988c62d81825a46",
)
CALIBRATION = replace(SCENES, name="scenes_to_calibrate", params={"seed": 5, "count": 50}, n=50, digest=None)
LEFT_FLOAT = dict.fromkeys(("HardSigmoid",), "ONNX Runtime's quantiser has no integer form of it")
HEIGHT = Symbol(name="height", low=32, high=4096, multiple=32)
WIDTH = Symbol(name="width", low=32, high=4096, multiple=32)

MODEL = Model(
    name="ppocr_det",
    title="PP-OCRv3 detector: MobileNetV3-large at half its width, RSE-FPN, DB head",
    guide="004",
    family="detection",
    network="harness.networks.ppocr_det:PpocrDet",
    inputs=(TensorSpec(name="x", axes=(BATCH, 3, HEIGHT, WIDTH), dtype="float32"),),
    outputs=(TensorSpec(name="sigmoid_0.tmp_0", axes=(BATCH, 1, HEIGHT, WIDTH), dtype="float32"),),
    points=(
        # The guide's, which its compiler allows, and what PaddleOCR makes of 720 x 1280 (printed there as 746 x 1312).
        Point(batch=1, height=512, width=896, memory=600),
        Point(batch=1, height=736, width=1312, slow=True, memory=900),
        Point(batch=1, height=256, width=384),
        Point(batch=8, height=256, width=384),
    ),
    accuracy_batch=1,
    forms=(
        Form(
            name="checkpoint",
            parent=None,
            step="harness.checkpoints.collect:collect",
            format="weights",
            params={"seed": 7},
        ),
        Form(
            name="network",
            parent="checkpoint",
            step="harness.networks.load:network_of",
            format="torch",
            parameters=580_161,
        ),
        Form(
            name="exported",
            parent="network",
            step="harness.onnx_graph.export:torch_to_onnx",
            format="onnx",
            promise="close",
            params={"opset": 11},
            opset=11,
            nodes=250,
            operators={"Conv": 72, "ConvTranspose": 2, "Resize": 6, "HardSigmoid": 20},
        ),
        Form(
            name="program",
            parent=None,
            step="harness.checkpoints.collect:program",
            format="paddle",
            references=("official",),
        ),
        Form(
            name="onnx",
            parent="program",
            step="harness.onnx_graph.paddle:paddle_to_onnx",
            format="onnx",
            promise="close",
            against="network",
            params={"opset": 11},
            opset=11,
            nodes=660,
            operators={"Conv": 72, "ConvTranspose": 2, "Resize": 6, "BatchNormalization": 49, "Constant": 380},
        ),
        Form(
            name="half",
            parent="onnx",
            step="harness.onnx_graph.half:to_half",
            format="onnx",
            precision="fp16",
            promise="lossy",
            # 36 of 40 real pictures keep their boxes; fewer than three of four come once in a hundred times.
            equal=0.5,
            because="half precision moves corners by over two pixels where words touch, and the scores of faint ones",
            opset=11,
            nodes=1080,
            operators={"Conv": 72, "Cast": 702},
        ),
        Form(
            name="exported_half",
            parent="exported",
            step="harness.onnx_graph.half:to_half",
            format="onnx",
            precision="fp16",
            promise="lossy",
            equal=0.5,
            because="half precision moves corners of boxes by more than two pixels where two words touch",
            references=("seeded", "bundled"),
            opset=11,
            nodes=758,
            operators={"Conv": 72, "Cast": 552},
        ),
        quantisable("exported", opset=13, nodes=197),
        # The guide takes 50 of 500 pictures; where only some of them lie, at most half may be spent.
        quantised(
            "int8_kl",
            Quantisation(
                rule="kl",
                samples=50,
                share=0.5,
                loss=0.05,
                left_float=LEFT_FLOAT,
                # What KL clips shows in every layer behind: least cosine 0.776, 3.6 dB, gain 0.64 to 1.15.
                layers=LayerBounds(cosine=0.55, snr=0.6, gain=(0.46, 1.24)),
            ),
            # 12 of 20 real pictures keep what they match, 88 of 100 rendered ones.
            equal=0.4,
            because="8 bits move corners and scores, most where KL clips",
            opset=13,
            nodes=734,
        ),
        quantised(
            "int8_percentile",
            Quantisation(
                rule="percentile",
                samples=50,
                share=0.5,
                loss=0.01,
                left_float=LEFT_FLOAT,
                # Least cosine 0.834, 3.7 dB, of the map itself on real pictures; gain 0.89 to 1.11.
                layers=LayerBounds(cosine=0.66, snr=0.7, gain=(0.83, 1.17)),
            ),
            # 14 of 20 real pictures keep what they match, 99 of 100 rendered ones.
            equal=0.5,
            because="8 bits move corners by over two pixels where words touch, and the scores of faint ones",
            opset=13,
            nodes=734,
        ),
    ),
    main="onnx",
    references=(
        Reference(
            name="official",
            weights=(PROGRAM, PARAMETERS),
            point="bs1_512x896",
            data=DataSet(
                name="icdar2015",
                reader="harness.datasets.icdar2015:Icdar2015",
                asset=ICDAR2015,
                n=500,
            ),
            golden=GoldenBoxes(file="suites/references/ppocr_det/official.json", equal=0.9, n=40),
            claims=(
                Claim(
                    metric="hmean",
                    printed="0.411",
                    source="guide 004, benchmark table: Paddle and ONNX in single precision, 500 pictures at 512 x 896",
                    doubts="truncated, not rounded, as its figures of the other networks are; the guide gives 746 x "
                    "1312 for the official size, which PaddleOCR makes 736 x 1312",
                ),
                Claim(
                    metric="hmean",
                    printed="0.415",
                    precisions=("int8",),
                    source="guide 004, benchmark table: quantised to 8 bits by KL",
                    doubts="of the vendor's own quantiser",
                ),
                Claim(
                    metric="latency",
                    printed="90.2911",
                    unit="ms",
                    clock="device",
                    device="TX5368A",
                    batch=1,
                    size="512x896",
                    source="guide 004, benchmark table",
                    allow=0.05,
                    because="the source names neither tool nor rounds",
                    doubts="of the quantised network; the guide does not say what the time covers",
                ),
            ),
        ),
        Reference(name="seeded", initialise="harness.networks.seeded:condition", main="exported"),
        Reference(
            name="bundled",
            weights=(BUNDLED,),
            main="exported",
            point="bs1_256x384",
            decode="harness.postprocess.db:BUNDLED.decode",
            compare="harness.postprocess.db:BUNDLED.compare",
            data=SCENES,
            calibration=CALIBRATION,
            golden=GoldenBoxes(file="suites/references/ppocr_det/golden.json", equal=0.9),
            claims=(
                Claim(
                    metric="hmean",
                    printed="0.997",
                    precisions=("fp32", "fp16"),
                    source="suites/references/ppocr_det/card.json",
                    allow=0.03,
                    because="kernels of other processors and runtimes move boxes whose overlap is close to a half",
                ),
            ),
        ),
    ),
    feed="harness.preprocess.scene:stretch_normalised",
    decode="harness.postprocess.db:PPOCR.decode",
    metric="harness.metrics.detection:ICDAR_IOU",
    compare="harness.postprocess.db:PPOCR.compare",
    overlay="harness.overlay.boxes:overlay",
    natural="harness.preprocess.scene:limit_side",
    # Guide 004 has no Ascend step: static sizes, single precision in the file, nothing tuned, nothing claimed.
    recipes={
        "ascend": Recipe(
            precision="fp16",
            toolkits=("6.0.1", "7.0.0", "8.0.0"),
            options={"input_format": "NCHW", "log": "error"},
        ),
        "knight": Recipe(
            precision="int8",
            toolkits=("1.1.0.7",),
            compiles={"onnx": "program"},
            foretold={"onnx": "int8_kl", "exported": "int8_kl"},
            points=("bs1_512x896",),
            options={
                "name": "ocrv3_det",
                "infer_function": "infer_ocr_det_model",
                "chip": "TX511",
                "iterations": 50,
                "mode": "kl",
                "output_float": True,
                "dump": True,
            },
        ),
    },
    training=Training(
        function="harness.training.detection:train_ppocr",
        params={
            "seed": 1,
            "held_out_seed": 2,
            "initial_seed": 3,
            "steps": 1200,
            "batch": 4,
            "learning_rate": 2e-3,
            "warm_up": 0.1,
            "weight_decay": 1e-4,
            "clip": 5.0,
        },
    ),
)
