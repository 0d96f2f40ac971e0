"""Pictures to look at: what was answered to one drawn over it, beside what is there."""
