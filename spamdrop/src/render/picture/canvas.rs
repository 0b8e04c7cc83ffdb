//! The area of a picture: styles, texts and panels, from the top down.

use super::super::markup::{Attribute, Markup};
use super::super::wrap::wrap;
use super::scale::AxisScale;

/// The estimated width of a character, in pixels. It is that of a digit in a wide font.
pub(super) const CHARACTER: f64 = 7.6;
/// The distance between two lines of text.
const LINE: f64 = 18.0;
/// The space for the numbers on the left, and for names on the right.
const LEFT: f64 = 56.0;
const RIGHT: f64 = 60.0;
const PANEL: f64 = 130.0;

/// The style of a shape or a text, and its CSS class.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShapeStyle {
    pub class: &'static str,
    paint: Paint,
    /// The colour in the light scheme. It is written as an attribute, so that it shows
    /// without a style sheet.
    light: &'static str,
    /// The colour in the dark scheme.
    dark: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Paint {
    Fill,
    /// A line of this width.
    Line(f64),
    /// A line with gaps, in the lengths of SVG's `stroke-dasharray`.
    Dashes(&'static str),
}

const fn fill(class: &'static str, light: &'static str, dark: &'static str) -> ShapeStyle {
    shape_style(class, Paint::Fill, light, dark)
}

const fn shape_style(
    class: &'static str,
    paint: Paint,
    light: &'static str,
    dark: &'static str,
) -> ShapeStyle {
    ShapeStyle {
        class,
        paint,
        light,
        dark,
    }
}

pub(super) const BACKGROUND: ShapeStyle = fill("background", "#ffffff", "#16181c");
pub(super) const LABEL: ShapeStyle = fill("label", "#222222", "#dddddd");
pub(super) const GRID: ShapeStyle = shape_style("grid", Paint::Line(1.0), "#dcdcdc", "#3a3d42");
pub(super) const OPEN: ShapeStyle = shape_style("open", Paint::Line(1.6), "#0b62a4", "#6db3f2");
pub(super) const PEAK: ShapeStyle = fill("peak", "#4a8ac6", "#3a78b0");
pub(super) const SLOTS: ShapeStyle =
    shape_style("slots", Paint::Dashes("7 3"), "#b00020", "#ff7b7b");
pub(super) const LIMIT: ShapeStyle =
    shape_style("limit", Paint::Dashes("2 3"), "#7a5c00", "#d9b04a");
pub(super) const REFUSED: ShapeStyle = fill("refused", "#c65102", "#f29b4b");
pub(super) const COUNTED: ShapeStyle = fill("counted", "#e0a878", "#9a6a40");
pub(super) const ANSWERED: ShapeStyle = fill("answered", "#2e7d32", "#7bc67e");
pub(super) const WAIT: ShapeStyle = fill("wait", "#6a3d9a", "#c3a2f0");

const STYLES: [ShapeStyle; 11] = [
    BACKGROUND, LABEL, GRID, OPEN, PEAK, SLOTS, LIMIT, REFUSED, COUNTED, ANSWERED, WAIT,
];

/// The style sheet: the colours of the dark scheme. Those of the light one are
/// attributes.
pub(super) fn style() -> String {
    let rule = |style: ShapeStyle| {
        let property = match style.paint {
            Paint::Fill => "fill",
            Paint::Line(_) | Paint::Dashes(_) => "stroke",
        };
        format!("svg .{} {{ {property}: {} }}\n", style.class, style.dark)
    };
    format!(
        "@media (prefers-color-scheme: dark) {{\n{}}}\n",
        STYLES.map(rule).concat()
    )
}

/// The colours of both schemes as variables of a style sheet: `--background`,
/// `--label` and `--grid`.
pub(super) fn variables() -> String {
    let named = [BACKGROUND, LABEL, GRID];
    let light = named.map(|style| format!(" --{}: {};", style.class, style.light));
    let dark = named.map(|style| format!(" --{}: {};", style.class, style.dark));
    format!(
        ":root {{{} }}\n@media (prefers-color-scheme: dark) {{\n:root {{{} }}\n}}\n",
        light.concat(),
        dark.concat()
    )
}

/// An entry of a legend.
pub(super) type LegendKey<'a> = (ShapeStyle, &'a str);

/// A picture, drawn from the top down.
#[derive(Debug)]
pub(super) struct Canvas {
    body: Markup,
    pub width: f64,
    /// The lower end of the part that is already drawn, in pixels from the top.
    y: f64,
}

/// A panel: an area with a vertical axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panel {
    pub left: f64,
    pub width: f64,
    top: f64,
    pub bottom: f64,
    scale: AxisScale,
}

impl Panel {
    /// The place of a value on the vertical axis, in pixels from the top.
    pub fn y(&self, value: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * self.scale.share(value)
    }

    /// The place of a share of the width, from 0 to 1, in pixels from the left.
    pub fn x(&self, share: f64) -> f64 {
        self.left + self.width * share
    }
}

impl Canvas {
    pub fn new(width: f64) -> Self {
        Self {
            body: Markup::default(),
            width,
            y: 2.0,
        }
    }

    /// The number of pixels between the sides of a panel.
    pub fn plot_width(&self) -> f64 {
        self.width - LEFT - RIGHT
    }

    /// Adds lines of text.
    pub fn paragraph(&mut self, text: &str) {
        let characters = (self.width - 16.0) / CHARACTER;
        for line in wrap(text, characters as usize, 0) {
            self.y += LINE;
            self.add_text((8.0, self.y - 4.0), "start", &line);
        }
    }

    /// Adds a panel with its heading, its legend and its vertical axis. `marks`
    /// are the places of vertical lines, as shares of the width.
    pub fn panel(
        &mut self,
        title: &str,
        keys: &[LegendKey<'_>],
        scale: AxisScale,
        marks: &[f64],
    ) -> Panel {
        self.y += 10.0;
        self.heading(title, keys);
        let top = self.y + 8.0;
        let panel = Panel {
            left: LEFT,
            width: self.plot_width(),
            top,
            bottom: top + PANEL,
            scale,
        };
        self.y = panel.bottom;
        let right = panel.x(1.0);
        for (share, text) in scale.marks() {
            let y = panel.bottom - PANEL * share;
            self.draw_line(GRID, [LEFT, y, right, y]);
            self.add_text((LEFT - 6.0, y + 4.0), "end", &text);
        }
        for x in marks.iter().map(|share| panel.x(*share)) {
            self.draw_line(GRID, [x, panel.top, x, panel.bottom + 4.0]);
        }
        panel
    }

    /// Adds the heading of a panel and behind it the legend, in as many lines as
    /// they need.
    fn heading(&mut self, title: &str, keys: &[LegendKey<'_>]) {
        self.y += LINE;
        self.add_text((8.0, self.y - 4.0), "start", title);
        let mut x = 8.0 + length(title) + 14.0;
        for (style, name) in keys {
            let width = 24.0 + length(name) + 14.0;
            if x + width > self.width && x > 8.0 {
                self.y += LINE;
                x = 8.0;
            }
            self.key(*style, x, self.y - 8.0);
            self.add_text((x + 24.0, self.y - 4.0), "start", name);
            x += width;
        }
    }

    fn key(&mut self, style: ShapeStyle, x: f64, y: f64) {
        let class = format!("key {}", style.class);
        let d = match style.paint {
            Paint::Fill => format!("M{x:.1} {:.1}h18v10h-18z", y - 5.0),
            Paint::Line(_) | Paint::Dashes(_) => format!("M{x:.1} {y:.1}h18"),
        };
        self.shape("path", style, &[("class", &class), ("d", &d)]);
    }

    /// Adds a line of texts below a panel, each centred at a share of the panel's
    /// width. Leaves out a text that would touch the one before it.
    pub fn labels(&mut self, panel: &Panel, labels: impl IntoIterator<Item = (f64, String)>) {
        self.y += LINE;
        let mut free = 0.0;
        for (share, text) in labels {
            let half = length(&text) / 2.0;
            let x = panel.x(share).clamp(half, self.width - half);
            if x - half >= free {
                self.add_text((x, self.y), "middle", &text);
                free = x + half + CHARACTER;
            }
        }
    }

    /// Adds names at the right of a panel, each at the height of its value. Leaves
    /// out a name that would touch an earlier one.
    pub fn names(&mut self, panel: &Panel, names: &[(f64, &str)]) {
        let mut used: Vec<f64> = Vec::new();
        for (value, name) in names {
            let y = panel.y(*value) + 4.0;
            if used.iter().all(|other| (other - y).abs() >= 13.0) {
                self.add_text((panel.x(1.0) + 6.0, y), "start", name);
                used.push(y);
            }
        }
    }

    /// Adds a text in the middle of a panel that has nothing to show.
    pub fn note(&mut self, panel: &Panel, text: &str) {
        let mut y = (panel.top + panel.bottom) / 2.0;
        for line in wrap(text, (panel.width / CHARACTER) as usize, 0) {
            self.add_text((panel.x(0.5), y), "middle", &line);
            y += LINE;
        }
    }

    fn add_text(&mut self, (x, y): (f64, f64), anchor: &str, text: &str) {
        let place: [Attribute<'_>; 5] = [
            ("class", &LABEL.class),
            ("fill", &LABEL.light),
            ("x", &tenths(x)),
            ("y", &tenths(y)),
            ("text-anchor", &anchor),
        ];
        self.body.add_text("text", &place, text);
    }

    pub fn draw_line(&mut self, style: ShapeStyle, [x1, y1, x2, y2]: [f64; 4]) {
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(tenths);
        let d = format!("M{x1} {y1}L{x2} {y2}");
        self.draw_path(style, &d);
    }

    /// Adds a path; nothing if it is empty.
    pub fn draw_path(&mut self, style: ShapeStyle, d: &str) {
        if !d.is_empty() {
            self.shape("path", style, &[("class", &style.class), ("d", &d)]);
        }
    }

    fn shape(&mut self, name: &str, style: ShapeStyle, attributes: &[Attribute<'_>]) {
        let mut all = attributes.to_vec();
        match &style.paint {
            Paint::Fill => all.push(("fill", &style.light)),
            Paint::Line(width) => {
                all.extend(outline(&style.light));
                all.push(("stroke-width", width));
            }
            Paint::Dashes(lengths) => {
                all.extend(outline(&style.light));
                all.push(("stroke-dasharray", lengths));
            }
        }
        self.body.empty(name, &all);
    }

    /// Completes the picture. `title` is for screen readers. `style` is the style
    /// sheet of a picture that is a file of its own; empty: the page has it.
    pub fn finish(mut self, title: &str, style: &str) -> String {
        let (width, height) = (self.width, self.y + 10.0);
        let mut svg = Markup::default();
        svg.open(
            "svg",
            &[
                ("xmlns", &"http://www.w3.org/2000/svg"),
                ("viewBox", &format_args!("0 0 {width} {height:.0}")),
                ("role", &"img"),
                ("font-family", &"sans-serif"),
                ("font-size", &12),
            ],
        );
        svg.add_text("title", &[], title);
        if !style.is_empty() {
            svg.open("style", &[]);
            svg.raw(style);
            svg.close("style");
        }
        let area = format!("M0 0H{width}V{height:.0}H0z");
        let body = std::mem::take(&mut self.body);
        self.draw_path(BACKGROUND, &area);
        svg.raw(&self.body.finish());
        svg.raw(&body.finish());
        svg.close("svg");
        svg.finish()
    }
}

fn outline<'a>(light: &'a &'static str) -> [Attribute<'a>; 2] {
    [("fill", &"none"), ("stroke", light)]
}

/// The estimated width of a text, in pixels.
fn length(text: &str) -> f64 {
    text.chars().count() as f64 * CHARACTER
}

pub(super) fn tenths(number: f64) -> String {
    format!("{number:.1}")
}
