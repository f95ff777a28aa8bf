//! The arrows as a drawing: states at fixed places, and a fixed course for each arrow.
//!
//! The table decides which arrows there are and what stands at them; this file only says where. An arrow that has no
//! course here, and a course without an arrow, are errors.

use std::fmt::Write;

use anyhow::{Result, bail};
use dagstore_fsm::table::{PLACES, Place};
use dagstore_types::ShardState;

use super::diagram::Arrow;
use super::words;

const WIDTH: u32 = 1200;
const HEIGHT: u32 = 515;

/// Half the width and half the height of a state's box.
const HALF: (i32, i32) = (66, 23);

/// From one line of a label to the next.
const LINE: i32 = 15;

const NONE: Place = None;
const NEW: Place = Some(ShardState::New);
const INITIALIZING: Place = Some(ShardState::Initializing);
const AVAILABLE: Place = Some(ShardState::Available);
const SERVING: Place = Some(ShardState::Serving);
const RECOVERING: Place = Some(ShardState::Recovering);
const ERRORED: Place = Some(ShardState::Errored);
const DESTROYING: Place = Some(ShardState::Destroying);

/// The middle of a state's box, and its colour.
fn state(place: Place) -> ((i32, i32), &'static str) {
    match place {
        None => ((100, 110), "#ffffff"),
        Some(ShardState::New) => ((350, 110), "#e8eef7"),
        Some(ShardState::Initializing) => ((610, 110), "#fdf1d3"),
        Some(ShardState::Available) => ((950, 110), "#dcf2e0"),
        Some(ShardState::Serving) => ((950, 290), "#bfe6c8"),
        Some(ShardState::Errored) => ((610, 290), "#f9d9d6"),
        Some(ShardState::Recovering) => ((950, 470), "#fdf1d3"),
        Some(ShardState::Destroying) => ((350, 470), "#e3e3e3"),
    }
}

/// Where an arrow runs, and where its label stands.
struct Course {
    from: Place,
    to: Place,
    /// An SVG path.
    path: &'static str,
    /// The first line's place.
    label: (i32, i32),
    /// `start`, `middle` or `end` of the line is at that place.
    anchor: &'static str,
}

const fn course((from, to): (Place, Place), path: &'static str, label: (i32, i32), anchor: &'static str) -> Course {
    Course { from, to, path, label, anchor }
}

const COURSES: &[Course] = &[
    course((NONE, NEW), "M 166,110 L 280,110", (224, 102), "middle"),
    course((NONE, INITIALIZING), "M 120,87 C 180,20 520,20 585,83", (350, 30), "middle"),
    course((NEW, INITIALIZING), "M 416,110 L 540,110", (478, 87), "middle"),
    course((NEW, DESTROYING), "M 350,133 L 350,443", (342, 290), "end"),
    course((INITIALIZING, AVAILABLE), "M 676,110 L 880,110", (780, 102), "middle"),
    course((INITIALIZING, ERRORED), "M 610,133 L 610,263", (618, 170), "start"),
    course((INITIALIZING, DESTROYING), "M 545,128 C 470,200 400,330 372,443", (478, 180), "end"),
    course((AVAILABLE, SERVING), "M 925,133 L 925,263", (917, 190), "end"),
    course((AVAILABLE, DESTROYING), "M 884,125 C 760,225 450,190 384,443", (517, 262), "end"),
    course((SERVING, AVAILABLE), "M 975,267 L 975,137", (983, 205), "start"),
    course((SERVING, RECOVERING), "M 950,313 L 950,443", (958, 375), "start"),
    course((SERVING, ERRORED), "M 884,290 L 680,290", (780, 282), "middle"),
    course((RECOVERING, AVAILABLE), "M 1016,460 C 1150,420 1150,160 1020,116", (1122, 295), "start"),
    course((RECOVERING, ERRORED), "M 910,447 C 890,370 820,325 680,304", (852, 345), "start"),
    course((RECOVERING, DESTROYING), "M 884,484 L 420,484", (630, 478), "middle"),
    course((ERRORED, RECOVERING), "M 630,313 C 640,400 720,452 880,466", (695, 378), "start"),
    course((ERRORED, DESTROYING), "M 570,313 L 412,443", (505, 392), "start"),
    course((DESTROYING, NONE), "M 284,470 C 140,470 100,330 100,137", (130, 330), "start"),
];

/// Draws the arrows.
///
/// # Errors
///
/// When an arrow has no course, or a course no arrow.
pub(crate) fn draw(arrows: &[Arrow]) -> Result<String> {
    let mut text = String::new();
    // Writing to a string can't fail.
    let _ = write!(text, "{}", head());
    for arrow in arrows {
        let Some(course) = COURSES.iter().find(|course| (course.from, course.to) == (arrow.from, arrow.to)) else {
            let (from, to) = (words::place(arrow.from), words::place(arrow.to));
            bail!("xtask/src/docs/svg.rs has no course for the arrow from {from} to {to}");
        };
        let _ = write!(text, "{}", drawn(course, &arrow.labels));
    }
    for course in COURSES {
        if !arrows.iter().any(|arrow| (course.from, course.to) == (arrow.from, arrow.to)) {
            let (from, to) = (words::place(course.from), words::place(course.to));
            bail!("xtask/src/docs/svg.rs has a course from {from} to {to}, where the tables have no arrow");
        }
    }
    for place in PLACES {
        let _ = write!(text, "{}", boxed(place));
    }
    text.push_str("</svg>\n");
    Ok(text)
}

fn head() -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
         height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\" role=\"img\" aria-labelledby=\"title\">\n\
         <title id=\"title\">The states of a shard and what leads from one to another</title>\n\
         <!-- Printed by `cargo xtask docs` from dagstore_fsm::table. -->\n\
         <defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
         orient=\"auto\"><path d=\"M 0,0 L 8,4 L 0,8 z\" fill=\"#444\"/></marker></defs>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
    )
}

fn drawn(course: &Course, labels: &[String]) -> String {
    let mut text = format!(
        "<path d=\"{}\" fill=\"none\" stroke=\"#444\" stroke-width=\"1.3\" marker-end=\"url(#head)\"/>\n",
        course.path
    );
    let (x, mut y) = course.label;
    for label in labels {
        let _ = writeln!(
            text,
            "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{}\" fill=\"#222\" stroke=\"#ffffff\" stroke-width=\"4\" \
             paint-order=\"stroke\">{label}</text>",
            course.anchor
        );
        y += LINE;
    }
    text
}

fn boxed(place: Place) -> String {
    let ((x, y), fill) = state(place);
    let (half_width, half_height) = HALF;
    let dashes = if place.is_none() { " stroke-dasharray=\"5 4\"" } else { "" };
    format!(
        "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"10\" fill=\"{fill}\" stroke=\"#444\"{dashes}/>\n\
         <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" font-size=\"15\" fill=\"#111\">{}</text>\n",
        x - half_width,
        y - half_height,
        2 * half_width,
        2 * half_height,
        y + 5,
        words::place(place)
    )
}

#[cfg(test)]
mod tests {
    use super::draw;
    use crate::docs::diagram::arrows;

    #[test]
    fn every_arrow_and_every_label_is_drawn() {
        let drawing = draw(&arrows()).unwrap();
        for arrow in arrows() {
            for label in arrow.labels {
                assert!(drawing.contains(&format!(">{label}</text>")), "{label}");
            }
        }
        assert_eq!(drawing.matches("marker-end").count(), arrows().len());
    }

    #[test]
    fn an_arrow_without_a_course_and_a_course_without_an_arrow_are_refused() {
        let mut turned = arrows();
        (turned[0].from, turned[0].to) = (turned[0].to, turned[0].from);
        assert!(draw(&turned).unwrap_err().to_string().contains("no course for the arrow from New to none"));
        let fewer = &arrows()[1..];
        assert!(draw(fewer).unwrap_err().to_string().contains("a course from none to New"));
    }
}
