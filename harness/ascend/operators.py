"""Which ONNX operators the parser of a CANN version takes, as far as is known, and from where.

Three kinds of facts: the opsets of a version, the operators of a version, and single operators that are taken at some
opsets only. A version between two of which the same is known is taken to be the same; what is known of neither, or of
one alone, is unknown. That a parser takes an operator does not say that a kernel for the chip computes every case.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from harness.ascend.cann import Cann

DOMAINS = ("", "ai.onnx")


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


COMMON = _names(
    """
    Abs Acos Acosh AdaptiveAvgPool2D Add AffineGrid And ArgMax ArgMin AscendAntiQuant AscendQuant Asin Asinh Atan Atanh
    AveragePool BatchMultiClassNMS BatchNormalization BitShift Cast Ceil Celu Clip Compress Concat Constant
    ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DeformableConv2D DepthToSpace Det Div Dropout Elu EmbeddingBag
    Equal Erf Exp Expand EyeLike Flatten Floor Gather GatherElements GatherND Gemm GlobalAveragePool GlobalLpPool
    GlobalMaxPool Greater GreaterOrEqual HardSigmoid HardSwish Hardmax Identity If InstanceNormalization LRN LSTM
    LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool MatMul Max MaxPool MaxRoiPool MaxUnpool Mean
    MeanVarianceNormalization Min Mod Mul Multinomial Neg NonMaxSuppression NonZero Not OneHot Or PRelu Pad Pow
    RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp
    ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence RoiAlign
    RoiExtractor Round Scatter ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax
    Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tanh TfIdfVectorizer ThresholdedRelu Tile TopK Transpose
    Unsqueeze Where Xor
    """
)
"""On the lists of 5.0.4.6 and 8.0.0 alike, in ONNX's spelling; those that ONNX does not have are the vendor's own."""


class Support(StrEnum):
    """What is known of an operator: ``taken``, ``refused``, or neither."""

    TAKEN = "taken"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Word:
    """What is known, and the sources of it in one line."""

    support: Support
    why: str


@dataclass(frozen=True)
class Known:
    """A fact of one version. Nothing where this version's sources are silent or contradict each other."""

    version: Cann
    support: Support | None
    source: str


@dataclass(frozen=True)
class Opsets:
    """The opsets that a version reads; ``disputed`` are those that its own pages do not agree on."""

    version: Cann
    taken: range
    source: str
    disputed: tuple[int, ...] = ()

    def of(self, opset: int) -> Known:
        """What is known of an opset."""
        taken = None if opset in self.disputed else Support.TAKEN if opset in self.taken else Support.REFUSED
        return Known(self.version, taken, self.source)


@dataclass(frozen=True)
class Operators:
    """The operators that a version takes. One that is not among them is refused where the list is ``complete`` and
    nothing else says otherwise (``disputed``)."""

    version: Cann
    taken: frozenset[str]
    source: str
    complete: bool = True
    disputed: tuple[str, ...] = ()

    def of(self, operator: str) -> Known:
        """What is known of an operator."""
        if operator in self.taken:
            return Known(self.version, Support.TAKEN, self.source)
        absent = Support.REFUSED if self.complete and operator not in self.disputed else None
        return Known(self.version, absent, f"not on the {self.source}")


@dataclass(frozen=True)
class Single:
    """The opsets at which a version takes one operator, and those at which it does not; silent on the others."""

    operator: str
    version: Cann
    taken: tuple[int, ...]
    refused: tuple[int, ...]
    source: str

    def of(self, opset: int) -> Known:
        """What is known of the operator at an opset."""
        said = Support.TAKEN if opset in self.taken else Support.REFUSED if opset in self.refused else None
        return Known(self.version, said, self.source)


PARSER = Cann.of("9.0.0-beta.2")
"""About the tag at which the parser's open source was read: cann/ge, and its plugins in ops-math, ops-nn and ops-cv."""
OPSETS = (
    Opsets(Cann.of("5.0.4.6"), range(9, 14), "ATC guide of 5.0.4.6 (atlasatc_16_0164): v9 to v13", (8,)),
    # LSTM's own page says up to v16.
    Opsets(Cann.of("6.0.1"), range(9, 14), "ATC guide of 6.0.1 (atctool_0178): v9 to v13", (8, 14, 15, 16)),
    Opsets(Cann.of("7.0.0"), range(9, 19), "ATC guide of 7.0.0 (atlasatc_16_0201): v9 to v18", (8,)),
    Opsets(PARSER, range(9, 19), "plugins of cann/ops-math and ops-nn: up to v18", (8,)),
)
LISTS = (
    Operators(
        Cann.of("5.0.4.6"),
        COMMON
        | _names("AdaptiveMaxPool2D Addcmul AscendDequant AscendDequantS16 AscendRequant AscendRequantS16 BatchMatMul"),
        "operator list of 5.0.4.6 (operatorlist_0071)",
        # The parser's source of about that time registers them all the same.
        disputed=("Einsum", "GRU", "IsInf", "IsNaN", "Tan"),
    ),
    Operators(
        Cann.of("8.0.0"),
        COMMON
        | _names(
            """
            BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Corr DynSeqOuter Einsum GRU GridSample IsInf IsNaN LSTMP
            LayerNormalization MovingSumWithSigmoid RandomNormal SoftmaxCrossEntropyLoss Tan Trilu
            """
        ),
        "operator list of 8.0.0 (operatorlist_00176)",
    ),
    Operators(
        PARSER,
        _names(
            """
            Abs Add ArgMax AveragePool BatchNormalization Cast Clip Concat Constant ConstantOfShape Conv Div Equal Erf
            Exp Expand Floor Gather GatherElements GatherND Gemm GlobalAveragePool GridSample HardSigmoid HardSwish
            Identity LSTM Less Log LogSoftmax MatMul MaxPool Mul Neg Not OneHot PRelu Pow Range Reciprocal ReduceMean
            Relu Reshape Resize Shape Sigmoid Slice Softmax Split Sqrt Squeeze Sub Tan Tanh Tile Transpose Unsqueeze
            Where
            """
        ),
        "parser of cann/ge, plugins of cann/ops-math, ops-nn and ops-cv",
        # Those that were looked up; a plugin may lie elsewhere.
        complete=False,
    ),
)
SINGLES = (
    Single("GridSample", Cann.of("6.0.RC1"), (11,), (), "guide 000 compiles it and prints its throughput"),
    # Opset 11 is left out on purpose: the page names v16 alone, and the parser before and after takes it.
    Single("GridSample", Cann.of("8.0.RC2"), (16,), (9, 10, 12, 13, 14, 15, 17, 18), "its page in 8.0.RC2: v16"),
    Single("GridSample", PARSER, (11, 16, 17, 18), (9, 10, 12, 13, 14, 15), "plugin in cann/ops-cv: v11, v16 to v18"),
    Single("Resize", Cann.of("5.0.4.6"), (), (13,), "a user's compile of unknown version ended with it"),
    Single("Resize", Cann.of("7.0.0"), (10, 11, 12, 14, 15, 16, 17, 18), (9, 13), "its page in 7.0.0: not v13"),
    Single("Resize", Cann.of("8.0.RC3"), (10, 11, 12, 14, 15, 16, 17), (9, 13, 18), "its page in 8.0.RC3: v10 to v17"),
    Single("Resize", Cann.of("8.3.RC1"), (10, 11, 12, 14, 15, 16, 17, 18), (9, 13), "its page in 8.3.RC1: not v13"),
)
VERSIONS = tuple(sorted({fact.version for fact in (*OPSETS, *LISTS, *SINGLES)}))
"""Those that something is known of, the oldest first."""


def reads(opset: int, version: Cann) -> Word:
    """What is known of a version and an opset of ONNX, whatever the operators."""
    return _told(_between([fact.of(opset) for fact in OPSETS], version))


def support(operator: str, domain: str, opset: int, version: Cann) -> Word:
    """What is known of an operator in graphs of an opset for a version that reads that opset."""
    if domain not in DOMAINS:
        return Word(Support.UNKNOWN, f"domain {domain}: a plugin of its own must be installed with the toolkit")
    single = _between([fact.of(opset) for fact in SINGLES if fact.operator == operator], version)
    return single or _told(_between([fact.of(operator) for fact in LISTS], version))


def takers(operator: str, domain: str, opset: int) -> tuple[str, ...]:
    """The known versions that take an operator at an opset, the oldest first."""
    return tuple(
        str(version) for version in readers(opset) if support(operator, domain, opset, version).support is Support.TAKEN
    )


def readers(opset: int) -> tuple[Cann, ...]:
    """The known versions that read an opset, the oldest first."""
    return tuple(version for version in VERSIONS if reads(opset, version).support is Support.TAKEN)


def _told(word: Word | None) -> Word:
    return word or Word(Support.UNKNOWN, "no source of this version, nor of one before it and one after")


def _between(facts: Iterable[Known], version: Cann) -> Word | None:
    """What the facts say of a version: its own, or what the nearest before and after it say alike; ``unknown`` where
    these two differ, nothing where one of them is missing."""
    said = sorted(_telling(facts), key=lambda fact: fact.version)
    before = [fact for fact in said if fact.version <= version]
    after = [fact for fact in said if fact.version >= version]
    if not before or not after:
        return None
    last, following = before[-1], after[0]
    if last.support is not following.support or last.support is None:
        return Word(Support.UNKNOWN, f"{last.source}, {following.source}; it lies between the two")
    sources = dict.fromkeys((last.source, following.source))
    return Word(last.support, ", ".join(sources))


def _telling(facts: Iterable[Known]) -> Iterator[Known]:
    return (fact for fact in facts if fact.support is not None)
