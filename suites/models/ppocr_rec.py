"""PP-OCRv3 recognition of English: guide 004 (OCR_REC), from a Paddle inference model to ONNX at opset 11."""

from dataclasses import replace

from harness.claim import Claim
from harness.form import Form, quantisable, quantised
from harness.model import Model, Training
from harness.quantisation import LayerBounds, Quantisation
from harness.recipe import Recipe
from harness.reference import Archive, Asset, DataSet, Golden, Reference
from harness.sizes import BATCH, Point, TensorSpec

RETRAINED = tuple(
    Asset(
        name=f"en_PP-OCRv3_rec_infer_retrain_relu_4dims/ocrv3_rec{suffix}",
        patterns=(f"**/en_PP-OCRv3_rec_infer_retrain_relu_4dims/ocrv3_rec{suffix}",),
        licence="not stated by its publisher",
        source="the download pack of guide 004 (example_ocrv3/models)",
    )
    for suffix in (".pdmodel", ".pdiparams")
)
DEQUANTISED = tuple(
    Asset(
        name=f"en_PP-OCRv3_rec_dequantised/{file}",
        patterns=(f"**/en_PP-OCRv3_rec_dequantised/{file}",),
        licence="Apache-2.0",
        source="the published program of en_PP-OCRv3_rec, weights de-quantised from its published int8 mobile file",
        sha256=sha256,
        size=size,
    )
    for file, sha256, size in (
        ("inference.pdmodel", "d02759cb41cda1ad333cc2df05eb90e6076b1cb81644a7e7349559fac0de62dd", 1269322),
        ("inference.pdiparams", "ac6e831d8a89a60ef08c1d3bbe198e8375a3f2f275d3c6a031dda3f13819a7e0", 8916816),
    )
)
EVALUATION = Asset(
    name="evaluation",
    patterns=("**/data_lmdb_release/evaluation", "**/evaluation"),
    licence="research use only",
    source="the evaluation sets of the text-recognition benchmark (evaluation.zip of data_lmdb_release)",
    archive=Archive(name="evaluation.zip"),
)
SAMPLES = Asset(
    name="rec_b1_10.pd",
    patterns=("**/rec_b1_10.pd",),
    licence="not stated by its publisher",
    source="the model zoo of TS-Knight (ocrV3/data/rec_b1_10.pd): words 1 to 10 of IC15_2077, prepared",
    sha256="eaaf959885d754efaef44b7c109d283176287aa23e617458929464f20f84e07f",
    size=1850638,
)
BUNDLED = Asset(
    name="ppocr_rec.safetensors",
    patterns=("suites/references/ppocr_rec/ppocr_rec.safetensors",),
    licence="Apache-2.0",
    source="python -m harness.training ppocr_rec",
    sha256="6b46a8a4f302b2c2d8e906cfa72c09d749220251a444ea8911310806b790d23b",
    shipped=True,
)
SHARED_WORDS = DataSet(
    name="shared_words",
    reader="harness.datasets.word_sets:WordSets",
    asset=EVALUATION,
    options={"only": "IIIT5k_400,IC03_100"},
    n=500,
)
LINES = DataSet(
    name="rendered_lines",
    reader="harness.datasets.lmdb_words:LmdbWords",
    make="harness.datasets.rendered.lmdb:render_lines",
    params={"seed": 2, "count": 500},
    n=500,
    digest="57b902d16b1d6675c8c0eb08e64d4ebb281eb342e6a570a1f54efde2404b2e52",
)
CALIBRATION = replace(LINES, name="lines_to_calibrate", params={"seed": 5, "count": 300}, n=300, digest=None)
LEFT_FLOAT = dict.fromkeys(
    ("Div", "HardSigmoid", "Pow", "ReduceMean", "Sqrt", "Sub"), "ONNX Runtime's quantiser has no integer form of it"
)
READ_FROM_TABLE = "guide 004, benchmark table"


def floor(metric: str, printed: str, hits: int, part: str, n: int) -> Claim:
    """A figure that the de-quantised weights gave, which they must give again."""
    return Claim(
        metric=metric,
        printed=printed,
        hits=hits,
        n=n,
        epsilon=1e-5,
        part=part,
        precisions=("fp32", "fp16"),
        source="measured once with these weights on these words at batch 1, the same in single and in half precision",
        allow=0.01,
        because="kernels of other processors and runtimes turn words that are decided by float noise",
    )


MODEL = Model(
    name="ppocr_rec",
    title="PP-OCRv3 recognition: MobileNetV1-enhance, two SVTR blocks, CTC over 97 classes",
    guide="004",
    family="recognition",
    network="harness.networks.svtr_lcnet:SvtrLcnet",
    inputs=(TensorSpec(name="x", axes=(BATCH, 3, 48, 320), dtype="float32"),),
    outputs=(TensorSpec(name="softmax_5.tmp_0", axes=(BATCH, 40, 97), dtype="float32"),),
    points=tuple(Point(batch=batch) for batch in (1, 8, 32)),
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
            parameters=2_215_345,
        ),
        Form(
            name="exported",
            parent="network",
            step="harness.onnx_graph.export:torch_to_onnx",
            format="onnx",
            promise="close",
            params={"opset": 11},
            opset=11,
            # The official network has ReLUs for hard swishes: what differs by that is not counted here.
            operators={"Conv": 36, "BatchNormalization": 0, "Gather": 10, "Softmax": 3},
        ),
        Form(
            name="exported_four_axes",
            parent="exported",
            step="harness.onnx_graph.attention:attention_in_four_axes",
            format="onnx",
            promise="exact",
            references=("dequantised", "dequantised_samples", "bundled", "seeded"),
            opset=11,
            nodes=275,
            operators={"Conv": 36, "HardSigmoid": 27, "Gather": 4, "Slice": 7, "Softmax": 3},
        ),
        Form(
            name="program",
            parent=None,
            step="harness.checkpoints.collect:program",
            format="paddle",
            references=("official", "dequantised", "dequantised_samples"),
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
            operators={"Conv": 36, "Softmax": 3},
        ),
        Form(
            name="four_axes",
            parent="onnx",
            step="harness.onnx_graph.attention:attention_in_four_axes",
            format="onnx",
            promise="exact",
            # The published weights of guide 004 have four axes already.
            references=("dequantised", "dequantised_samples"),
            opset=11,
            nodes=646,
            operators={"Conv": 36, "BatchNormalization": 32, "HardSigmoid": 2, "Clip": 27, "Constant": 330},
        ),
        Form(
            name="half",
            parent="onnx",
            step="harness.onnx_graph.half:to_half",
            format="onnx",
            precision="fp16",
            promise="lossy",
            # As of the form below; with the de-quantised weights all of 500 answers stay the same.
            equal=0.87,
            because="half precision turns words that are decided by little",
            opset=11,
            operators={"Conv": 36, "Softmax": 3},
        ),
        Form(
            name="exported_half",
            parent="exported",
            step="harness.onnx_graph.half:to_half",
            format="onnx",
            precision="fp16",
            promise="lossy",
            # Seeded weights keep 489 of 500 answers, bundled ones all; a smaller share of 32 comes once in 200 times.
            equal=0.87,
            because="half precision turns words that are decided by little",
            references=("seeded", "bundled"),
            opset=11,
            nodes=770,
            operators={"Conv": 36, "HardSigmoid": 27, "Gather": 10, "Softmax": 3, "Cast": 508},
        ),
        # The official network has ReLUs for hard swishes, so nodes are not counted here either.
        quantisable("exported", opset=13),
        quantised(
            "int16_minmax",
            Quantisation(
                rule="minmax",
                samples=300,
                bits=16,
                loss=0.01,
                left_float=LEFT_FLOAT,
                # Least cosine 0.9995, 29.6 dB, gain 0.996 to 1.005.
                layers=LayerBounds(cosine=0.998, snr=26.0, gain=(0.97, 1.03)),
            ),
            # 498 of 500 words and more keep their answer.
            equal=0.97,
            because="weights of 8 bits turn words that are decided by little",
            opset=21,
        ),
        quantised(
            "int8_mse",
            Quantisation(
                rule="mse",
                samples=300,
                # Of 500 rendered words the narrow network loses 0.046, at most 0.067.
                loss=0.08,
                left_float=LEFT_FLOAT,
                # Least cosine 0.819, 4.6 dB, gain 0.69 to 1.10.
                layers=LayerBounds(cosine=0.63, snr=1.6, gain=(0.54, 1.16)),
            ),
            # 183 of 200 real words keep their answer, 457 of 500 rendered ones.
            equal=0.88,
            because="8 bits turn words that are decided by little",
            opset=13,
        ),
    ),
    main="onnx",
    references=(
        Reference(
            name="official",
            weights=RETRAINED,
            network_params={"relu": True},
            data=DataSet(
                name="IC15_2077",
                reader="harness.datasets.word_sets:WordSets",
                asset=EVALUATION,
                options={"only": "IC15_2077"},
                n=2077,
            ),
            claims=(
                Claim(
                    metric="acc",
                    printed="0.655",
                    source=f"{READ_FROM_TABLE}: Paddle and ONNX in single precision",
                    doubts="hits are not printed; the guide truncates its other figures",
                ),
                Claim(
                    metric="acc",
                    printed="0.649",
                    precisions=("int16",),
                    source=f"{READ_FROM_TABLE}: quantised with -b 16 and -qm min_max",
                    doubts="hits are not printed; the guide truncates its other figures",
                ),
                Claim(
                    metric="latency",
                    printed="19.4567",
                    unit="ms",
                    clock="device",
                    device="TX5368A",
                    batch=1,
                    source=READ_FROM_TABLE,
                    allow=0.05,
                    because="the source names neither tool nor rounds",
                    doubts="of the quantised network; the guide does not say what the time covers",
                ),
            ),
        ),
        Reference(
            name="dequantised",
            weights=DEQUANTISED,
            data=SHARED_WORDS,
            claims=(
                floor("acc", "0.777", 311, "IIIT5k_400", 400),
                floor("acc_folded", "0.935", 374, "IIIT5k_400", 400),
                floor("acc", "0.920", 92, "IC03_100", 100),
                floor("acc_folded", "0.960", 96, "IC03_100", 100),
            ),
        ),
        Reference(
            name="dequantised_samples",
            weights=DEQUANTISED,
            data=DataSet(
                name="rec_b1_10",
                reader="harness.datasets.vendor_samples:RecognitionSamples",
                asset=SAMPLES,
                n=10,
                feed="harness.preprocess.stored:as_stored",
            ),
            calibration=SHARED_WORDS,
            claims=(
                Claim(
                    metric="acc",
                    printed="1.000",
                    hits=10,
                    n=10,
                    epsilon=1e-5,
                    precisions=("fp32", "fp16"),
                    source="measured once with these weights on the vendor's tensors at batch 1, in either precision",
                    doubts="ten words tell a broken reader or network, and no more",
                ),
            ),
        ),
        Reference(name="seeded", initialise="harness.networks.seeded:condition", main="exported"),
        Reference(
            name="bundled",
            weights=(BUNDLED,),
            network_params={"width": 0.25, "hidden": 64},
            main="exported",
            data=LINES,
            calibration=CALIBRATION,
            golden=Golden(file="suites/references/ppocr_rec/golden.json", max_abs=1e-3, n=4),
            claims=(
                Claim(
                    metric="acc",
                    printed="0.932",
                    hits=466,
                    n=500,
                    epsilon=1e-5,
                    precisions=("fp32", "fp16"),
                    source="suites/references/ppocr_rec/card.json; the same in half precision, measured once",
                    allow=0.03,
                    because="kernels of other processors and runtimes turn words that are decided by float noise",
                ),
            ),
        ),
    ),
    feed="harness.preprocess.text_line:preprocess",
    decode="harness.postprocess.recognition:ENGLISH_CTC.decode",
    metric="harness.metrics.recognition:STRICT",
    compare="harness.postprocess.recognition:ENGLISH_CTC.compare",
    # Guide 004 has no Ascend step: static batches, single precision in the file, nothing tuned, nothing claimed.
    recipes={
        "ascend": Recipe(
            precision="fp16",
            toolkits=("5.0.4.6", "6.0.1", "7.0.0", "8.0.0"),
            options={"input_format": "NCHW", "log": "error"},
        ),
        # The guide asks for whole numbers, whose scale its tools show to people alone.
        "knight": Recipe(
            precision="int16",
            toolkits=("1.1.0.7",),
            compiles={"onnx": "program"},
            foretold={"onnx": "int16_minmax", "exported": "int16_minmax"},
            points=("bs1",),
            options={
                "name": "ocrv3_rec",
                "infer_function": "infer_ocr_rec_model",
                "chip": "TX511",
                "iterations": 300,
                "mode": "min_max",
                "output_float": True,
                "dump": True,
            },
        ),
    },
    training=Training(
        function="harness.training.lines:train",
        params={
            "seed": 1,
            "held_out_seed": 2,
            "initial_seed": 3,
            "steps": 3000,
            "batch": 32,
            "learning_rate": 3e-3,
            "warm_up": 0.05,
            "weight_decay": 0.01,
            "clip": 5.0,
        },
    ),
)
