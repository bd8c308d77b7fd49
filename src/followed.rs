//! Files that are read again when they change, while calls go on with what was read before.
//!
//! The files are looked at every second by whoever polls [`Followed::follow`]: no thread of its own, and no notification
//! that a network file system or a mounted secret would not send. A version that cannot be used changes nothing but the
//! log. To replace a file in one step, write the new one beside it and rename it.
//!
//! Files that cannot be read are tried again, and all are read anew from time to time: what looks unchanged may not be,
//! and whoever reads may have something to say about the time, such as that a certificate is about to expire.

use crate::telemetry::metrics::{FOLLOWED_FILES, UNUSABLE_FILES};
use arc_swap::{ArcSwap, Guard};
use std::{
    convert::Infallible,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often the files are looked at: a credential that was taken away is refused that soon.
const EVERY: Duration = Duration::from_secs(1);

/// After how long files are read although they look unchanged.
const ANYWAY_AFTER: Duration = Duration::from_secs(60 * 60);

/// The same for files that could not be used: perhaps there was no descriptor left, or the disk did not answer.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Bytes of a file: far more than keys, certificates and credentials take. Larger ones are not read.
const FILE_BYTES: u64 = 1024 * 1024;

/// What some files hold, as of their last version that could be read.
pub struct Followed<T> {
    /// The option that names the files.
    option: &'static str,
    paths: Vec<PathBuf>,
    read: Box<Read<T>>,
    current: ArcSwap<T>,
    seen: Mutex<Seen>,
}

/// The last reading, well or not.
struct Seen {
    /// What the files looked like, before they were read: a change in between is then seen as one.
    stamps: Vec<Option<Stamp>>,
    at: Instant,
    problem: Option<String>,
    /// Whether the metric tells that they cannot be used.
    told: bool,
}

/// Reads the files, given what they held before. The text of an error follows the option's name.
type Read<T> = dyn Fn(Option<&T>) -> Result<T, String> + Send + Sync;

/// Tells versions of a file apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    /// Also of its owner and mode: a file that becomes readable has the time of its content.
    changed: (i64, i64),
}

impl<T> Followed<T> {
    /// Reads the files for the first time.
    ///
    /// # Errors
    ///
    /// What is wrong with them, to be read after the option's name.
    pub fn open(
        option: &'static str,
        paths: Vec<PathBuf>,
        read: impl Fn(Option<&T>) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let seen = Seen { stamps: stamps(&paths), at: Instant::now(), problem: None, told: false };
        let current = readable(&paths).and_then(|()| read(None))?;
        let (read, current) = (Box::new(read), ArcSwap::from_pointee(current));
        Ok(Self { option, paths, read, current, seen: Mutex::new(seen) })
    }

    /// What the files hold. Cheap, and not to be kept: it is of this moment.
    pub fn current(&self) -> Guard<Arc<T>> {
        self.current.load()
    }

    /// The same, to be kept by what goes on with it while newer versions come.
    pub fn to_keep(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// Looks at the files every second, for as long as it is polled.
    pub async fn follow(&self) -> Infallible {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look_again();
        }
    }

    /// Reads the files again if they have changed since they were last read, or if that was long ago.
    pub fn look_again(&self) {
        let stamps = stamps(&self.paths);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = seen.stamps != stamps;
        let patience = if seen.problem.is_some() { TRIED_AGAIN_AFTER } else { ANYWAY_AFTER };
        if !changed && seen.at.elapsed() < patience {
            return;
        }
        let told = seen.told;
        let before = std::mem::replace(&mut *seen, Seen { stamps, at: Instant::now(), problem: None, told }).problem;
        match readable(&self.paths).and_then(|()| (self.read)(Some(&self.current()))) {
            Ok(read) => {
                self.current.store(Arc::new(read));
                if changed || before.is_some() {
                    tracing::info!(option = self.option, "read again");
                }
            }
            Err(problem) => {
                if changed || before.as_ref() != Some(&problem) {
                    tracing::error!(option = self.option, problem, "cannot be used; what was read before holds");
                }
                seen.problem = Some(problem);
            }
        }
        let is_unusable = seen.problem.is_some();
        if is_unusable != std::mem::replace(&mut seen.told, is_unusable) {
            self.tell(is_unusable);
        }
    }

    fn tell(&self, is_unusable: bool) {
        let name = self.option.trim_start_matches('-').replace('-', "_");
        let Some(number) = FOLLOWED_FILES.iter().position(|known| *known == name) else { return };
        if is_unusable { UNUSABLE_FILES.rise([number]) } else { UNUSABLE_FILES.fall([number]) }
    }
}

/// Refuses what reading would not come back from: pipes and devices wait for somebody who writes, or never end. A file
/// that is not there is left to its reader, who says so better.
fn readable(paths: &[PathBuf]) -> Result<(), String> {
    for path in paths {
        let Ok(file) = fs::metadata(path) else { continue };
        if !file.is_file() {
            return Err(format!("{}: is not a file: name one that can be read again and again", path.display()));
        }
        if file.len() > FILE_BYTES {
            return Err(format!("{}: is larger than {FILE_BYTES} bytes: name another file", path.display()));
        }
    }
    Ok(())
}

fn stamps(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    paths.iter().map(|path| Stamp::of(path)).collect()
}

impl Stamp {
    /// `None` for a file that is not there. Follows links, as mounted secrets are replaced by moving one.
    fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        Some(Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn number(path: &Path) -> Result<u32, String> {
        let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
        text.trim().parse().map_err(|_| "is no number".to_owned())
    }

    fn follow(path: &Path) -> Result<Followed<u32>, String> {
        let path = path.to_owned();
        Followed::open("--number-file", vec![path.clone()], move |_| number(&path))
    }

    #[test]
    fn a_new_version_counts_and_a_bad_or_missing_one_does_not() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("number");
        assert!(follow(&path).is_err_and(|problem| problem.contains("No such file")));
        fs::write(&path, "1").unwrap();
        let followed = follow(&path).unwrap();
        for (content, expected) in [(Some("22"), 22), (Some("x"), 22), (None, 22), (Some("333"), 333)] {
            match content {
                Some(content) => fs::write(&path, content).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            followed.look_again();
            assert_eq!(**followed.current(), expected, "{content:?}");
        }
    }

    #[test]
    fn a_file_of_equal_size_that_is_renamed_into_place_is_a_new_version() {
        let dir = TempDir::new().unwrap();
        let (path, next) = (dir.path().join("number"), dir.path().join("next"));
        fs::write(&path, "1").unwrap();
        let followed = follow(&path).unwrap();
        fs::write(&next, "2").unwrap();
        // Even when its time is that of the old one.
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        fs::File::options().write(true).open(&next).unwrap().set_modified(time).unwrap();
        fs::rename(&next, &path).unwrap();
        followed.look_again();
        assert_eq!(**followed.current(), 2);
    }

    #[test]
    fn a_file_of_equal_size_and_time_that_is_written_in_place_is_a_new_version() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("number");
        fs::write(&path, "1").unwrap();
        let followed = follow(&path).unwrap();
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        let before = Stamp::of(&path).unwrap().changed;
        // As `cp --preserve` does. The file system's clock is coarse.
        while Stamp::of(&path).unwrap().changed == before {
            fs::write(&path, "2").unwrap();
            fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        }
        followed.look_again();
        assert_eq!(**followed.current(), 2);
    }

    #[test]
    fn what_is_no_file_or_has_no_end_is_refused_at_once() {
        let dir = TempDir::new().unwrap();
        let path = |name: &str| dir.path().join(name);
        let pipe = std::ffi::CString::new(path("pipe").to_str().unwrap()).unwrap();
        // SAFETY: the path is a C string that outlives the call.
        assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
        fs::File::create(path("large")).unwrap().set_len(FILE_BYTES + 1).unwrap();
        fs::write(path("number"), "1").unwrap();
        let followed = follow(&path("number")).unwrap();
        for (bad, saying) in [
            (path("pipe"), "is not a file"),
            (dir.path().to_owned(), "is not a file"),
            ("/dev/zero".into(), "is not a file"),
            (path("large"), "is larger than 1048576 bytes"),
        ] {
            let problem = follow(&bad).err().unwrap();
            assert!(problem.contains(saying), "{problem}");
            std::os::unix::fs::symlink(bad, path("link")).unwrap();
            fs::rename(path("link"), path("number")).unwrap();
            followed.look_again();
            assert_eq!(**followed.current(), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn files_that_look_unchanged_are_read_anew_by_the_hour_and_bad_ones_by_the_minute() {
        use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("number");
        fs::write(&path, "1").unwrap();
        let (readings, at) = (Arc::new(AtomicUsize::new(0)), path.clone());
        let counted = Arc::clone(&readings);
        let read = move |_: Option<&u32>| {
            counted.fetch_add(1, SeqCst);
            number(&at)
        };
        let followed = Followed::open("--number-file", vec![path.clone()], read).unwrap();
        let after = async |time| drop(tokio::time::timeout(time, followed.follow()).await);
        after(ANYWAY_AFTER - EVERY).await;
        assert_eq!(readings.load(SeqCst), 1);
        after(2 * EVERY).await;
        assert_eq!(readings.load(SeqCst), 2);
        fs::write(&path, "one").unwrap();
        after(EVERY / 2).await;
        assert_eq!(readings.load(SeqCst), 3, "a change counts at once");
        after(3 * TRIED_AGAIN_AFTER + EVERY).await;
        assert_eq!(readings.load(SeqCst), 6);
        assert_eq!(**followed.current(), 1);
    }

    #[test]
    fn a_link_that_is_moved_to_another_file_is_a_new_version() {
        let dir = TempDir::new().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("a"), "1").unwrap();
        fs::write(path("b"), "2").unwrap();
        std::os::unix::fs::symlink(path("a"), path("link")).unwrap();
        let followed = follow(&path("link")).unwrap();
        std::os::unix::fs::symlink(path("b"), path("new")).unwrap();
        fs::rename(path("new"), path("link")).unwrap();
        followed.look_again();
        assert_eq!(**followed.current(), 2);
    }
}
