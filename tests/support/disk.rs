//! A disk that loses its power, or reports an error, at a chosen sync.

use redb::StorageBackend;
use std::{
    io,
    sync::{Arc, Mutex},
};

/// What a disk tears a write into when its power fails.
const SECTOR: usize = 512;

/// A disk in memory. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// What survives.
    durable: Vec<u8>,
    /// What is read.
    current: Vec<u8>,
    /// Sectors written since the last sync.
    unsynced: Vec<(usize, Vec<u8>)>,
    syncs_left: u64,
    error: io::ErrorKind,
    failed: bool,
    random: u64,
}

impl Disk {
    /// A disk with that content, which fails with `error` at the sync after `syncs` good ones. Of what was written since
    /// the last good one, a part chosen by `seed` survives, in sectors.
    pub fn failing_after(syncs: u64, error: io::ErrorKind, seed: u64, content: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(State {
            current: content.clone(),
            durable: content,
            unsynced: Vec::new(),
            syncs_left: syncs,
            error,
            failed: false,
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
        })))
    }

    /// What the next owner of the disk finds.
    pub fn survivors(&self) -> Vec<u8> {
        self.0.lock().expect("no panic").durable.clone()
    }

    /// Whether it has failed.
    pub fn failed(&self) -> bool {
        self.0.lock().expect("no panic").failed
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.0.lock().expect("no panic");
        if state.failed { Err(state.error.into()) } else { use_it(&mut state) }
    }
}

impl State {
    fn keep(&mut self, mut which: impl FnMut(&mut u64) -> bool) {
        for (offset, sector) in std::mem::take(&mut self.unsynced) {
            if which(&mut self.random) {
                self.durable[offset..offset + sector.len()].copy_from_slice(&sector);
            }
        }
    }
}

fn coin(random: &mut u64) -> bool {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    random.is_multiple_of(2)
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.with(|state| Ok(state.current.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|state| {
            let from = usize::try_from(offset).expect("small");
            let found = state.current.get(from..from + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            out.copy_from_slice(found);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|state| {
            let len = usize::try_from(len).expect("small");
            state.current.resize(len, 0);
            state.durable.resize(len, 0);
            state.unsynced.retain(|(offset, sector)| offset + sector.len() <= len);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|state| {
            if state.syncs_left == 0 {
                state.keep(coin);
                state.failed = true;
                return Err(state.error.into());
            }
            state.syncs_left -= 1;
            state.keep(|_| true);
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(|state| {
            let mut offset = usize::try_from(offset).expect("small");
            state.current[offset..offset + data.len()].copy_from_slice(data);
            for sector in data.chunks(SECTOR) {
                state.unsynced.push((offset, sector.to_vec()));
                offset += sector.len();
            }
            Ok(())
        })
    }
}
