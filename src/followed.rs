//! Files that are read again when they change, while calls go on with what was read before.
//!
//! The files are looked at every second by whoever polls [`Followed::follow`]: no thread of its own, and no notification
//! that a network file system or a mounted secret would not send. A version that cannot be used changes nothing but the
//! log. To replace a file in one step, write the new one beside it and rename it.

use arc_swap::{ArcSwap, Guard};
use std::{
    convert::Infallible,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{MissedTickBehavior, interval};

/// How often the files are looked at: a credential that was taken away is refused that soon.
const EVERY: Duration = Duration::from_secs(1);

/// What some files hold, as of their last version that could be read.
pub struct Followed<T> {
    /// The option that names the files.
    option: &'static str,
    paths: Vec<PathBuf>,
    read: Box<Read<T>>,
    current: ArcSwap<T>,
    /// What the files looked like when they were last read, well or not.
    seen: Mutex<Vec<Option<Stamp>>>,
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
}

impl<T> Followed<T> {
    /// Reads the files for the first time.
    ///
    /// # Errors
    ///
    /// What is wrong with them, beginning with the option's name.
    pub fn open(
        option: &'static str,
        paths: Vec<PathBuf>,
        read: impl Fn(Option<&T>) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Self, String> {
        // Before they are read: a change in between is then seen as one.
        let seen = Mutex::new(stamps(&paths));
        let current = read(None).map_err(|problem| format!("{option} {problem}"))?;
        Ok(Self { option, paths, read: Box::new(read), current: ArcSwap::from_pointee(current), seen })
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

    /// Reads the files again if they have changed since they were last read.
    pub fn look_again(&self) {
        let now = stamps(&self.paths);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            return;
        }
        *seen = now;
        match (self.read)(Some(&self.current())) {
            Ok(read) => {
                self.current.store(Arc::new(read));
                tracing::info!(option = self.option, "read again");
            }
            Err(problem) => {
                tracing::error!(
                    option = self.option,
                    problem,
                    "changed and cannot be used; what was read before holds"
                );
            }
        }
    }
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
        assert!(follow(&path).is_err_and(|problem| problem.starts_with("--number-file ")));
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
