//! A chart of the comparison as SVG, readable on light and on dark ground.

use std::fmt::Write;

/// One bar.
pub struct Bar<'b> {
    /// What it stands for.
    pub name: &'b str,
    /// Its length: median, least and most.
    pub times: [f64; 3],
    /// Whether it is the one that the others are set beside.
    pub ours: bool,
}

const WIDTH: f64 = 760.0;
/// Where bars begin, and how long the longest is; what is left is for its figure.
const LEFT: f64 = 240.0;
const LENGTH: f64 = 400.0;
const ROW: f64 = 38.0;
const TOP: f64 = 62.0;

/// Draws bars from the shortest on, under a title.
pub fn draw(title: &str, note: &str, bars: &[Bar<'_>]) -> String {
    let longest = bars.iter().map(|bar| bar.times[2]).fold(f64::MIN_POSITIVE, f64::max);
    let height = TOP + ROW * bars.len() as f64 + 8.0;
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}">
<style>
text {{ font: 14px system-ui, sans-serif; fill: #1f2328; }}
.title {{ font-size: 16px; font-weight: 600; }}
.note {{ font-size: 12px; fill: #59636e; }}
.bar {{ fill: #8c959f; }}
.ours {{ fill: #1a7f37; }}
.spread {{ stroke: #1f2328; stroke-width: 1.5; }}
@media (prefers-color-scheme: dark) {{
text {{ fill: #e6edf3; }}
.note {{ fill: #9198a1; }}
.bar {{ fill: #6e7681; }}
.ours {{ fill: #3fb950; }}
.spread {{ stroke: #e6edf3; }}
}}
</style>
<text class="title" x="8" y="22">{title}</text>
<text class="note" x="8" y="42">{note}</text>
"##
    );
    for (row, bar) in bars.iter().enumerate() {
        let [median, least, most] = bar.times.map(|times| times / longest * LENGTH);
        let (y, class) = (TOP + ROW * row as f64, if bar.ours { "ours" } else { "bar" });
        let (middle, text) = (y + 12.0, y + 17.0);
        let _ = writeln!(
            svg,
            r#"<text x="{:.1}" y="{text:.1}" text-anchor="end">{}</text>
<rect class="{class}" x="{LEFT:.1}" y="{y:.1}" width="{median:.1}" height="24" rx="3"/>
<line class="spread" x1="{:.1}" y1="{middle:.1}" x2="{:.1}" y2="{middle:.1}"/>
<text x="{:.1}" y="{text:.1}">{:.1}</text>"#,
            LEFT - 12.0,
            bar.name,
            LEFT + least,
            LEFT + most,
            LEFT + most.max(median) + 10.0,
            bar.times[0],
        );
    }
    svg.push_str("</svg>\n");
    svg
}
