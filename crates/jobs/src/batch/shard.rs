//! Which part of a job is this process's.

use std::fmt;
use std::str::FromStr;

use super::{BatchError, Key};

/// Part `index` of `count`. Requests are dealt out by the hash of their ids, so their order in the file is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    count: usize,
}

impl Shard {
    /// All of a job.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Part `index` of `count`, counted from 0.
    ///
    /// # Errors
    /// If there is no such part.
    pub fn new(index: usize, count: usize) -> Result<Self, BatchError> {
        if index >= count {
            return Err(BatchError::Shard(format!(
                "there is no shard {index} of {count}; shards are counted from 0"
            )));
        }
        Ok(Self { index, count })
    }

    /// This part's number, from 0.
    #[must_use]
    pub fn index(self) -> usize {
        self.index
    }

    /// How many parts there are.
    #[must_use]
    pub fn count(self) -> usize {
        self.count
    }

    /// Whether the request of this key belongs to this part.
    pub(super) fn owns(self, key: Key) -> bool {
        key.shard % self.count as u64 == self.index as u64
    }

    /// How files of this part are named.
    pub(super) fn label(self) -> String {
        format!("{:05}-of-{:05}", self.index, self.count)
    }

    /// The part that a scheduler has given to this process, and the variable that says so; `None` without one.
    /// `lookup` reads a variable; `shards` is the number of parts if the user has named it.
    ///
    /// Where `shards` is given, the scheduler's number is the index itself, so that a few tasks of an array can be
    /// started again. Otherwise the array's own size is the number of parts.
    ///
    /// # Errors
    /// If the variables do not say which part of how many this is.
    pub fn from_environment(
        lookup: impl Fn(&str) -> Option<String>,
        shards: Option<usize>,
    ) -> Result<Option<(Self, &'static str)>, BatchError> {
        let number = |name: &'static str| -> Result<Option<usize>, BatchError> {
            lookup(name)
                .map(|value| {
                    value.trim().parse().map_err(|_| {
                        BatchError::Shard(format!(
                            "the variable {name} is `{value}` and no number; give --shard I/N"
                        ))
                    })
                })
                .transpose()
        };
        let found =
            |index: usize, count: usize, name: &'static str| Self::new(index, count).map(|shard| Some((shard, name)));
        const SLURM: &str = "SLURM_ARRAY_TASK_ID";
        const KUBERNETES: &str = "JOB_COMPLETION_INDEX";
        const AWS: &str = "AWS_BATCH_JOB_ARRAY_INDEX";
        let named = [SLURM, KUBERNETES, AWS]
            .into_iter()
            .find_map(|name| number(name).transpose().map(|index| index.map(|index| (name, index))))
            .transpose()?;
        let Some((name, index)) = named else { return Ok(None) };
        if let Some(count) = shards {
            return found(index, count, name);
        }
        let size = match name {
            SLURM => "SLURM_ARRAY_TASK_COUNT",
            AWS => "AWS_BATCH_JOB_ARRAY_SIZE",
            _ => "DRDIFF_SHARDS",
        };
        let Some(count) = number(size)? else {
            return Err(BatchError::Shard(format!(
                "{name} is {index}, but nothing says of how many; give --shards N or set DRDIFF_SHARDS"
            )));
        };
        let (first, step) = match name {
            SLURM => (
                number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0),
                number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1),
            ),
            _ => (0, 1),
        };
        let place = index
            .checked_sub(first)
            .filter(|ahead| ahead % step == 0)
            .map(|ahead| ahead / step);
        match place.filter(|place| *place < count) {
            Some(place) => found(place, count, name),
            None => Err(BatchError::Shard(format!(
                "{name} is {index}, which does not fit an array of {count} tasks from {first} in steps of {step}; give --shards N with an array 0-(N-1), or --shard I/N"
            ))),
        }
    }
}

impl FromStr for Shard {
    type Err = BatchError;

    fn from_str(text: &str) -> Result<Self, BatchError> {
        let numbers = text
            .split_once('/')
            .and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match numbers {
            Some((index, count)) => Self::new(index, count),
            None => Err(BatchError::Shard(format!(
                "`{text}` is no shard; write I/N, such as 0/8"
            ))),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)], shards: Option<usize>) -> Result<Option<String>, String> {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Shard::from_environment(lookup, shards)
            .map(|found| found.map(|(shard, name)| format!("{shard} {name}")))
            .map_err(|e| e.to_string())
    }

    #[test]
    fn schedulers_say_which_part_it_is() {
        let slurm = [
            ("SLURM_ARRAY_TASK_ID", "14"),
            ("SLURM_ARRAY_TASK_MIN", "10"),
            ("SLURM_ARRAY_TASK_STEP", "2"),
            ("SLURM_ARRAY_TASK_COUNT", "5"),
        ];
        assert_eq!(from(&slurm, None), Ok(Some("2/5 SLURM_ARRAY_TASK_ID".into())));
        assert_eq!(from(&slurm, Some(20)), Ok(Some("14/20 SLURM_ARRAY_TASK_ID".into())));
        let pod = [("JOB_COMPLETION_INDEX", "3")];
        assert_eq!(from(&pod, Some(4)), Ok(Some("3/4 JOB_COMPLETION_INDEX".into())));
        assert!(
            from(&pod, None)
                .unwrap_err()
                .contains("--shards N or set DRDIFF_SHARDS")
        );
        let aws = [("AWS_BATCH_JOB_ARRAY_INDEX", "0"), ("AWS_BATCH_JOB_ARRAY_SIZE", "9")];
        assert_eq!(from(&aws, None), Ok(Some("0/9 AWS_BATCH_JOB_ARRAY_INDEX".into())));
        assert_eq!(from(&[], Some(4)), Ok(None));
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        let irregular = [("SLURM_ARRAY_TASK_ID", "7"), ("SLURM_ARRAY_TASK_COUNT", "3")];
        assert!(
            from(&irregular, None)
                .unwrap_err()
                .contains("does not fit an array of 3")
        );
        assert!(
            from(&[("JOB_COMPLETION_INDEX", "x")], Some(2))
                .unwrap_err()
                .contains("`x`")
        );
        assert!(
            from(&[("JOB_COMPLETION_INDEX", "2")], Some(2))
                .unwrap_err()
                .contains("counted from 0")
        );
        for wrong in ["3/3", "1", "a/b", "0/0"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
        assert_eq!("2/3".parse::<Shard>().unwrap().to_string(), "2/3");
    }

    #[test]
    fn every_id_has_one_shard_and_shards_are_of_like_size() {
        let mut sizes = [0; 3];
        for id in 0..3000 {
            let key = Key::of(&id.to_string());
            let owners: Vec<usize> = (0..3).filter(|i| Shard::new(*i, 3).unwrap().owns(key)).collect();
            assert_eq!(owners.len(), 1);
            sizes[owners[0]] += 1;
        }
        assert!(sizes.iter().all(|size| (900..1100).contains(size)), "{sizes:?}");
    }
}
