//! The figures of the codecs as a picture: bytes, encoding and decoding, a group of bars for each record.

use std::fmt::Write;

use super::Work;
use crate::figure::number;

/// What one codec makes of one record.
pub(super) struct Bar {
    pub(super) record: &'static str,
    pub(super) codec: &'static str,
    pub(super) work: Work,
    pub(super) bytes: usize,
    pub(super) nanoseconds: f64,
    pub(super) instructions: Option<f64>,
}

const COLOURS: [&str; 4] = ["#4c78a8", "#f58518", "#54a24b", "#b279a2"];

const WIDTH: f64 = 900.0;
/// Where the bars begin, and how long the longest is.
const LEFT: f64 = 90.0;
const LONGEST: f64 = 680.0;
const BAR: f64 = 14.0;
const GAP: f64 = 10.0;
const HEAD: f64 = 46.0;

/// A part of the picture: its title, and each record, codec and value in it.
type Panel = (&'static str, Vec<(&'static str, &'static str, f64)>);

/// Draws the panels one below the other. Each has a scale of its own.
pub(super) fn draw(bars: &[Bar]) -> String {
    let mut codecs: Vec<&str> = Vec::new();
    for bar in bars {
        if !codecs.contains(&bar.codec) {
            codecs.push(bar.codec);
        }
    }
    let mut body = String::new();
    let mut y = legend(&mut body, &codecs);
    for (title, values) in panels(bars) {
        y = panel(&mut body, y, title, &values, &codecs);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" width=\"{WIDTH}\" height=\"{y}\" \
         font-family=\"sans-serif\" font-size=\"12\" role=\"img\" aria-labelledby=\"title\">\n\
         <title id=\"title\">What the codecs make of a shard record</title>\n\
         <!-- Printed by `cargo xtask bench codecs`. -->\n\
         <rect width=\"{WIDTH}\" height=\"{y}\" fill=\"#ffffff\"/>\n{body}</svg>\n"
    )
}

fn panels(bars: &[Bar]) -> Vec<Panel> {
    let of = |work: Work, value: &dyn Fn(&Bar) -> Option<f64>| -> Vec<_> {
        let chosen = bars.iter().filter(|bar| bar.work == work);
        chosen.filter_map(|bar| Some((bar.record, bar.codec, value(bar)?))).collect()
    };
    let all = [
        ("bytes", of(Work::Encode, &|bar| Some(bar.bytes as f64))),
        ("encode, nanoseconds", of(Work::Encode, &|bar| Some(bar.nanoseconds))),
        ("decode, nanoseconds", of(Work::Decode, &|bar| Some(bar.nanoseconds))),
        ("encode, instructions", of(Work::Encode, &|bar| bar.instructions)),
        ("decode, instructions", of(Work::Decode, &|bar| bar.instructions)),
    ];
    all.into_iter().filter(|(_, values)| !values.is_empty()).collect()
}

/// Which colour is which codec; returns where the next thing begins. Writing to a string can't fail.
fn legend(body: &mut String, codecs: &[&str]) -> f64 {
    let mut x = LEFT;
    for (codec, colour) in codecs.iter().zip(COLOURS.iter().cycle()) {
        let _ = writeln!(
            body,
            "<rect x=\"{x}\" y=\"14\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\n<text x=\"{}\" y=\"24\">{codec}</text>",
            x + 18.0
        );
        x += 100.0;
    }
    HEAD
}

fn panel(body: &mut String, y: f64, title: &str, values: &[(&str, &str, f64)], codecs: &[&str]) -> f64 {
    let most = values.iter().map(|(.., value)| *value).fold(0.0, f64::max);
    let _ = writeln!(body, "<text x=\"{LEFT}\" y=\"{}\" font-size=\"14\" fill=\"#111\">{title}</text>", y + 8.0);
    let mut y = y + GAP + 8.0;
    let mut before = "";
    for (record, codec, value) in values {
        if *record != before {
            y += if before.is_empty() { 0.0 } else { GAP / 2.0 };
            let _ = writeln!(
                body,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#333\">{record}</text>",
                LEFT - 8.0,
                y + BAR
            );
            before = record;
        }
        let place = codecs.iter().position(|known| known == codec).unwrap_or_default();
        let (colour, length) = (COLOURS[place % COLOURS.len()], value / most * LONGEST);
        let _ = writeln!(
            body,
            "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{length:.1}\" height=\"{}\" fill=\"{colour}\"/>\n\
             <text x=\"{:.1}\" y=\"{}\" fill=\"#333\">{}</text>",
            BAR - 2.0,
            LEFT + length + 5.0,
            y + BAR - 3.5,
            number(*value)
        );
        y += BAR;
    }
    y + 2.0 * GAP
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_its_bar_and_what_was_not_counted_has_no_panel() {
        let bar = |codec, work, bytes, nanoseconds| Bar {
            record: "lazy",
            codec,
            work,
            bytes,
            nanoseconds,
            instructions: None,
        };
        let bars = [
            bar("json", Work::Encode, 200, 300.0),
            bar("cbor", Work::Encode, 100, 600.0),
            bar("json", Work::Decode, 200, 900.0),
            bar("cbor", Work::Decode, 100, 1_234.0),
        ];
        let drawing = draw(&bars);
        for text in ["<svg", "bytes", "encode, nanoseconds", "decode, nanoseconds", ">1,234</text>", "</svg>"] {
            assert!(drawing.contains(text), "{text}");
        }
        assert!(!drawing.contains("instructions"));
        // The longest of each panel is the full length, and the other one its part of that.
        assert_eq!(drawing.matches("width=\"680.0\"").count(), 3);
        assert_eq!(drawing.matches("width=\"340.0\"").count(), 2);
    }
}
