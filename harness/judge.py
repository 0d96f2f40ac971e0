"""Whether a measured share meets a claim: one-sided, on the claim's own samples, and with n in mind."""

from __future__ import annotations

from dataclasses import dataclass

from harness.claim import Claim
from harness.verdict import Verdict


@dataclass(frozen=True)
class Share:
    """hits of n samples; ``complete`` where these are all of the claim's own samples."""

    hits: int
    n: int
    complete: bool

    @property
    def value(self) -> float:
        """hits / n."""
        return self.hits / self.n

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The exact two-sided (Clopper-Pearson) interval of the share behind these hits."""
        from scipy.stats import binomtest

        found = binomtest(self.hits, self.n).proportion_ci(confidence, method="exact")
        return float(found.low), float(found.high)

    def upper_bound(self, confidence: float = 0.95) -> float:
        """The one-sided upper bound: the share behind these hits is below it with this confidence."""
        return self.interval(2 * confidence - 1)[1]


def judge(claim: Claim, share: Share) -> tuple[Verdict, str]:
    """The verdict on a claim, and a line with measured, expected, bound and n.

    On the claim's own complete samples the floor decides, however small n is. On a part of them a value is
    ``inconclusive``, unless the one-sided 95% bound already lies below the floor: then it fails.
    """
    low, high = share.interval()
    hits = f" ({claim.hits}/{claim.n})" if claim.hits is not None else ""
    line = (
        f"{claim.metric} {share.value:.4f} ({share.hits}/{share.n}, 95% {low:.4f}..{high:.4f}), "
        f"claim {claim.printed}{hits}, floor {claim.floor:.4f}"
    )
    if share.complete:
        return (Verdict.PASS if share.value >= claim.floor else Verdict.FAIL), line
    if share.upper_bound() < claim.floor:
        return Verdict.FAIL, f"{line}; even the upper 95% bound {share.upper_bound():.4f} lies below the floor"
    wanted = f"all {claim.n}" if claim.n else "all of the claim's"
    return Verdict.INCONCLUSIVE, f"{line}; {share.n} samples cannot tell, {wanted} samples would"
