"""DB_Dynamic: guide 003, from PyTorch to ONNX for any size, Resize with constant scales, one artefact for a range.

The guide's patch changes the backbone of its configuration from deformable to plain ResNet-50 and loads the published,
deformable checkpoint without insisting on its keys: what is left unused is a fact of the checkpoint's form, and the
reason why the guide gives a cosine and no figure of detection. ``db_deform`` is the published network.
"""

from harness.claim import Claim
from harness.form import Form
from harness.layout import FileLayout
from harness.model import Model, Training
from harness.recipe import Recipe
from harness.reference import Asset, DataSet, GoldenBoxes, Reference
from harness.sizes import BATCH, Point, Symbol, TensorSpec

CHECKPOINT = Asset(
    name="ic15_resnet50",
    patterns=("**/ic15_resnet50", "**/ic15_resnet50.pth"),
    licence="not stated by its publisher",
    source="guide 003, step 1 of model conversion: a checkpoint of MhLiao/DB trained on ICDAR 2015",
    url="https://ascend-repo-modelzoo.obs.cn-east-2.myhuaweicloud.com/model/1_PyTorch_PTH/DBnet/PTH/ic15_resnet50",
)
ICDAR2015 = Asset(
    name="icdar2015",
    patterns=("**/icdar2015",),
    licence="research only; see https://rrc.cvc.uab.es/?ch=4",
    source="ICDAR 2015, challenge 4: 500 test pictures with their ground truth, in the layout of guide 003",
)
BUNDLED = Asset(
    name="db.safetensors",
    patterns=("suites/references/db/db.safetensors",),
    licence="Apache-2.0",
    source="python -m harness.training db",
    sha256="6b28f26eb036651077e328d94e64c2c293a58343a5fe2653ce33eca2af3ebcc0",
    shipped=True,
)
HEIGHT = Symbol(name="height", low=32, high=4096, multiple=32)
WIDTH = Symbol(name="width", low=32, high=4096, multiple=32)

MODEL = Model(
    name="db",
    title="DB_Dynamic: plain ResNet-50 and a differentiable-binarization head, for any size",
    guide="003",
    family="detection",
    network="harness.networks.db:DbNet",
    inputs=(TensorSpec(name="input", axes=(BATCH, 3, HEIGHT, WIDTH), dtype="float32"),),
    outputs=(TensorSpec(name="output", axes=(BATCH, 1, HEIGHT, WIDTH), dtype="float32"),),
    # Batch 1 alone: the guide's graph has no batch axis to bind. Its device takes 640 to 4096. The most memory is over
    # what was measured by a third or more: 564, 1211 and 2018 MiB, and 9 GiB that others found for 4096 x 4096.
    points=(
        Point(batch=1, height=736, width=1280, slow=True, memory=1600),
        Point(batch=1, height=96, width=160),
        Point(batch=1, height=256, width=384),
        Point(batch=1, height=640, width=640, slow=True, memory=1000),
        Point(batch=1, height=1152, width=2048, slow=True, memory=2800),
        Point(batch=1, height=4096, width=4096, slow=True, memory=14000),
    ),
    accuracy_batch=1,
    forms=(
        Form(
            name="checkpoint",
            parent=None,
            step="harness.checkpoints.collect:collect",
            format="weights",
            params={"seed": 2},
        ),
        Form(
            name="network",
            parent="checkpoint",
            step="harness.networks.load:network_of",
            format="torch",
            parameters=25_245_313,
        ),
        Form(
            name="onnx",
            parent="network",
            step="harness.onnx_graph.export:torch_to_onnx",
            format="onnx",
            promise="close",
            params={"opset": 11},
            opset=11,
            nodes=276,
            operators={"Conv": 62, "ConvTranspose": 2, "Resize": 6, "Shape": 18},
        ),
        Form(
            name="scales",
            parent="onnx",
            step="harness.onnx_graph.resize:constant_scales",
            format="onnx",
            promise="exact",
            opset=11,
            nodes=150,
            operators={"Conv": 62, "ConvTranspose": 2, "Resize": 6, "Shape": 0},
        ),
        Form(
            name="half",
            parent="scales",
            step="harness.onnx_graph.half:to_half",
            format="onnx",
            precision="fp16",
            promise="lossy",
            equal=0.5,
            because="half precision moves corners of boxes by more than two pixels where two words touch",
            opset=11,
            nodes=460,
            operators={"Conv": 62, "Resize": 6, "Cast": 316},
        ),
    ),
    main="scales",
    references=(
        Reference(
            name="official",
            weights=(CHECKPOINT,),
            data=DataSet(
                name="icdar2015",
                reader="harness.datasets.icdar2015:Icdar2015",
                asset=ICDAR2015,
                n=500,
            ),
            claims=(
                Claim(
                    metric="cosine",
                    printed="0.99",
                    device="Ascend310P3",
                    precisions=("fp16",),
                    source="guide 003, the table at its end: device against ONNX Runtime, mean over pictures",
                    doubts="a plain network with a deformable one's weights; a swapped channel order can reach it too",
                ),
                Claim(
                    metric="total",
                    printed="9.3",
                    unit="s",
                    clock="sum-of-calls",
                    device="Ascend310P3",
                    source="guide 003, the table at its end, called E2E",
                    allow=0.05,
                    because="printed as about 9.3 s",
                    doubts="the sum of inference calls, without reading and postprocessing; of how many pictures is "
                    "not said, 500 would make it 18.6 ms a picture",
                ),
            ),
        ),
        Reference(name="seeded", initialise="harness.networks.seeded:condition"),
        Reference(
            name="bundled",
            weights=(BUNDLED,),
            network_params={"width": 0.25},
            point="bs1_256x384",
            decode="harness.postprocess.db:BUNDLED.decode",
            compare="harness.postprocess.db:BUNDLED.compare",
            data=DataSet(
                name="scenes",
                reader="harness.datasets.icdar2015:Icdar2015",
                make="harness.datasets.rendered.icdar:render",
                params={"seed": 2, "count": 100},
                n=100,
                digest="98a3dd1f5c28da49f46a3c767318da695982dde4f7ef0989d988c62d81825a46",
            ),
            golden=GoldenBoxes(file="suites/references/db/golden.json", equal=0.9),
            claims=(
                Claim(
                    metric="hmean",
                    printed="0.996",
                    precisions=("fp32", "fp16"),
                    source="suites/references/db/card.json",
                    allow=0.03,
                    because="kernels of other processors and runtimes move boxes whose overlap is close to a half",
                ),
            ),
        ),
    ),
    feed="harness.preprocess.scene:stretch_centred",
    decode="harness.postprocess.db:ICDAR15.decode",
    metric="harness.metrics.detection:ICDAR_IOU",
    compare="harness.postprocess.db:ICDAR15.compare",
    # As the guide's preprocessing saves them: NumPy files with a batch of one, named as the pictures are.
    layout=FileLayout(input="img_{i}.npy", output="img_{i}_{k}", first=1),
    overlay="harness.overlay.boxes:overlay",
    natural="harness.preprocess.scene:up_to_32",
    recipes={
        "ascend": Recipe(
            precision="fp16",
            toolkits=("6.0.RC1", "6.0.1", "7.0.0", "8.0.0"),
            options={"input_format": "ND", "log": "error"},
            dynamic=True,
            sizes=(640, 4096),
        )
    },
    training=Training(
        function="harness.training.detection:train_db",
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
