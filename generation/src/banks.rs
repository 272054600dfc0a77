//! The memory that the texts of an engine share.

use std::sync::Arc;

use drdiff_attention::{Bank, KvCache};
use drdiff_model::Network;

use crate::Result;

/// Memory for as many texts at a time as the engine works on, for each size of window that they have.
#[derive(Debug)]
pub(crate) struct Banks {
    seats: usize,
    banks: Vec<Arc<Bank>>,
}

impl Banks {
    /// Banks of `seats` texts.
    pub(crate) fn new(seats: usize) -> Self {
        let banks = Vec::new();
        Self { seats, banks }
    }

    /// An empty cache for a text that sees `window` committed positions and takes passes of up to `pass`.
    pub(crate) fn cache(&mut self, network: &Network, sizes: (usize, usize)) -> Result<KvCache> {
        loop {
            for bank in self.banks.iter().filter(|bank| bank.sizes() == sizes) {
                if let Some(cache) = KvCache::seated(bank)? {
                    return Ok(cache);
                }
            }
            // Nobody but this list holds a bank without texts.
            self.banks.retain(|bank| Arc::strong_count(bank) > 1);
            self.banks.push(network.bank(sizes, self.seats)?);
        }
    }
}
