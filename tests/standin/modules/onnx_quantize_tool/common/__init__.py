"""What a user's inference function imports of the vendor's quantiser; played."""
