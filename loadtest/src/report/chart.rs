//! A chart as inline SVG. Colours are classes that the page's style gives values to, so it is readable in light and dark.

use std::fmt::Write as _;

use super::escape;
use super::scale::{Scale, number};

/// The drawing, in its own units.
/// Of half a page; of a whole one.
const WIDTHS: (f64, f64) = (560.0, 1140.0);
const HEIGHT: f64 = 260.0;
/// Around the plot: left, right, top, bottom.
const MARGIN: (f64, f64, f64, f64) = (58.0, 14.0, 18.0, 34.0);
/// Places of x labels may not come nearer than this.
const X_LABEL_GAP: f64 = 44.0;

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A line with the area below it.
    Area,
    /// A line.
    Line,
    /// A dashed level across the plot.
    Level,
}

/// Values of one kind.
#[derive(Clone, Debug)]
pub struct Series {
    /// In the legend.
    pub name: String,
    /// How it is drawn.
    pub style: Style,
    /// In order of x. For a level the last one counts.
    pub points: Vec<(f64, f64)>,
}

/// How much of the page a chart takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breadth {
    /// One of two columns.
    Half,
    /// Both.
    Whole,
}

/// A chart.
#[derive(Clone, Debug)]
pub struct Chart {
    /// How much of the page it takes.
    pub breadth: Breadth,
    /// What it shows.
    pub title: &'static str,
    /// Of the values.
    pub unit: &'static str,
    /// Of the horizontal axis.
    pub x_name: &'static str,
    /// The horizontal axis.
    pub x: Scale,
    /// The vertical axis.
    pub y: Scale,
    /// What is drawn, the most important first.
    pub series: Vec<Series>,
    /// Instants of the horizontal axis with a name.
    pub marks: Vec<(f64, String)>,
}

impl Chart {
    fn width(&self) -> f64 {
        match self.breadth {
            Breadth::Half => WIDTHS.0,
            Breadth::Whole => WIDTHS.1,
        }
    }

    fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let (left, right, top, bottom) = MARGIN;
        let across = left + self.x.place(x) * (self.width() - left - right);
        let up = HEIGHT - bottom - self.y.place(y) * (HEIGHT - top - bottom);
        (across, up)
    }

    /// The figure: heading, legend, drawing. Nothing where there is no value.
    pub fn html(&self) -> String {
        if self.series.iter().all(|series| series.points.is_empty()) {
            return String::new();
        }
        let mut svg = String::new();
        self.draw_axes(&mut svg);
        self.draw_marks(&mut svg);
        // The most important comes last and so lies on top.
        for (number, series) in self.series.iter().enumerate().rev() {
            self.draw(&mut svg, number, series);
        }
        let class = match self.breadth {
            Breadth::Half => "half",
            Breadth::Whole => "whole",
        };
        let legend: String = self
            .series
            .iter()
            .enumerate()
            .filter(|(_, series)| !series.points.is_empty())
            .map(|(number, series)| {
                let kind = if series.style == Style::Level { " level" } else { "" };
                format!("<li><i class=\"k{number}{kind}\"></i>{}</li>", escape(&series.name))
            })
            .collect();
        format!(
            "<figure class=\"{class}\"><figcaption><h2>{} <small>{}</small></h2><ul>{legend}</ul></figcaption>\
             <svg viewBox=\"0 0 {} {HEIGHT}\" role=\"img\" aria-label=\"{0}\">{svg}</svg></figure>\n",
            escape(self.title),
            escape(self.unit),
            self.width(),
        )
    }

    fn draw_axes(&self, svg: &mut String) {
        let (left, right, _, bottom) = MARGIN;
        for (value, label) in self.y.ticks() {
            let (_, y) = self.at((0.0, value));
            write_to(
                svg,
                format_args!(
                    "<line class=\"grid\" x1=\"{left}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                     <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                    self.width() - right,
                    left - 8.0,
                    y + 4.0
                ),
            );
        }
        let mut last = f64::MIN;
        for (value, label) in self.x.ticks() {
            let (x, _) = self.at((value, 0.0));
            if x - last >= X_LABEL_GAP {
                last = x;
                let y = HEIGHT - bottom + 16.0;
                // The last label ends where the drawing does.
                let anchor = if x > self.width() - right - 12.0 { "end" } else { "middle" };
                write_to(svg, format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{label}</text>"));
            }
        }
        write_to(
            svg,
            format_args!(
                "<text class=\"axis\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
                self.width() - right,
                HEIGHT - 3.0,
                escape(self.x_name)
            ),
        );
    }

    fn draw_marks(&self, svg: &mut String) {
        let (_, right, top, bottom) = MARGIN;
        for (x, name) in &self.marks {
            let (x, _) = self.at((*x, 0.0));
            // Near the right edge there is room on the left only.
            let (anchor, label_x) = if x > self.width() - right - 90.0 { ("end", x - 4.0) } else { ("start", x + 4.0) };
            write_to(
                svg,
                format_args!(
                    "<line class=\"mark\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{}\" y2=\"{}\"/>\
                     <text class=\"mark\" x=\"{label_x:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
                    top - 8.0,
                    HEIGHT - bottom,
                    top - 2.0,
                    escape(name)
                ),
            );
        }
    }

    fn draw(&self, svg: &mut String, number_of_series: usize, series: &Series) {
        let (Some(first), Some(last)) = (series.points.first(), series.points.last()) else { return };
        let (left, right, _, bottom) = MARGIN;
        if series.style == Style::Level {
            let (_, y) = self.at(*last);
            write_to(
                svg,
                format_args!(
                    "<line class=\"s{number_of_series} level\" x1=\"{left}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\">\
                     <title>{} {}</title></line>",
                    self.width() - right,
                    escape(&series.name),
                    number(last.1)
                ),
            );
            return;
        }
        let mut path = String::new();
        for (place, point) in series.points.iter().enumerate() {
            let (x, y) = self.at(*point);
            write_to(&mut path, format_args!("{}{x:.1} {y:.1}", if place == 0 { 'M' } else { 'L' }));
        }
        if series.style == Style::Area {
            let (from, to, floor) = (self.at(*first).0, self.at(*last).0, HEIGHT - bottom);
            write_to(
                svg,
                format_args!(
                    "<path class=\"a{number_of_series}\" d=\"{path}L{to:.1} {floor:.1}L{from:.1} {floor:.1}Z\"/>"
                ),
            );
        }
        write_to(
            svg,
            format_args!(
                "<path class=\"s{number_of_series}\" d=\"{path}\"><title>{}</title></path>",
                escape(&series.name)
            ),
        );
    }
}

fn write_to(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> Chart {
        Chart {
            breadth: Breadth::Half,
            title: "a <b>",
            unit: "ms",
            x_name: "seconds",
            x: Scale::Linear { max: 10.0 },
            y: Scale::Linear { max: 10.0 },
            series: vec![Series { name: "p99".to_owned(), style: Style::Line, points }],
            marks: Vec::new(),
        }
    }

    #[test]
    fn a_line_goes_through_its_points() {
        let html = chart(vec![(0.0, 0.0), (10.0, 10.0)]).html();
        assert!(html.contains("d=\"M58.0 226.0L546.0 18.0\""), "{html}");
        assert!(html.contains("a &lt;b&gt;") && !html.contains("<b>"));
    }

    #[test]
    fn a_chart_without_values_is_left_out() {
        assert_eq!(chart(Vec::new()).html(), "");
    }
}
