//! What a server wants known about URLs that it accepted all the same.

use super::table::visible;
use crate::proto::v1::Notice;

/// A paragraph to put after an answer; nothing when there are no notices.
pub fn paragraph(notices: &[Notice]) -> String {
    if notices.is_empty() {
        return String::new();
    }
    let line = |notice: &Notice| format!("\n  {}: {}", visible(&notice.field), visible(&notice.description));
    let lines: String = notices.iter().map(line).collect();
    format!("\n\nNotices:{lines}")
}
