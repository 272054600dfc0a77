//! The bound on the text that the corpus keeps for validation.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use drdiff_data::{DataError, Split, Window};
use drdiff_model::{BlockBound, Bounds};

use crate::{Error, Result, Trainer};

impl Trainer<'_> {
    /// The windows that [`Trainer::validate`] measures on.
    ///
    /// # Errors
    /// If there is none, or less than one window.
    pub(crate) fn validation_text(&self) -> Result<Vec<Window>> {
        if self.corpus.shards(Split::Valid).is_empty() {
            return Err(Error::NoValidationText);
        }
        let len = self.config.model.context;
        Ok(self.corpus.valid_windows(len, None, self.config.validation_windows)?)
    }

    /// Why nothing can be measured during the run, if so: the corpus keeps no text to measure on, or less than one window.
    ///
    /// # Errors
    /// If that text cannot be read.
    pub fn unmeasured(&self) -> Result<Option<Error>> {
        match self.validation_text() {
            Err(why @ (Error::NoValidationText | Error::Data(DataError::Short { .. }))) => Ok(Some(why)),
            text => text.map(|_| None),
        }
    }

    /// The bound of the averaged weights at each validation block size.
    ///
    /// # Errors
    /// If there is no validation text, or an operation fails.
    pub fn validate(&self) -> Result<Vec<BlockBound>> {
        self.measure(None)
    }

    /// [`Trainer::validate`], given up soon after `stop` is set: then there are no figures.
    ///
    /// # Errors
    /// As [`Trainer::validate`].
    pub(crate) fn validate_until(&self, stop: &Arc<AtomicBool>) -> Result<Option<Vec<BlockBound>>> {
        match self.measure(Some(stop.clone())) {
            Ok(bounds) => Ok(Some(bounds)),
            Err(error) if error.is_stop() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn measure(&self, stop: Option<Arc<AtomicBool>>) -> Result<Vec<BlockBound>> {
        let len = self.config.model.context;
        let windows = self.validation_text()?;
        let sizes = &self.config.validation_blocks;
        self.optimizer.with_average(|| {
            let measure = Bounds::new(&self.network, len, self.config.batch)?.until(stop);
            let bounds = sizes.iter().map(|size| Ok(measure.of(&windows, *size)?));
            bounds.collect()
        })
    }
}
