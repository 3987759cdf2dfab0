//! The buckets of a histogram: those of Envoy, whose plugins record milliseconds and bytes, as far
//! as whole numbers can tell them apart.

/// The largest value that each bucket counts.
pub const BUCKETS: [u64; 18] = [
    1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000,
    3_600_000,
];

/// The index of a value's bucket. A value above all bounds gets the index after the last.
pub fn of(value: u64) -> usize {
    BUCKETS.partition_point(|&bound| bound < value)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_bound_belongs_to_its_own_bucket() {
        assert_eq!([0, 1, 2, 5, 6, 3_600_000, 3_600_001].map(super::of), [0, 0, 1, 1, 2, 17, 18]);
    }
}
