//! Problems with the input, as people see them: file, line, the line itself, field path, help.

use std::fmt;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};
use sim_core::load::{LoadError, LoadErrors};

/// Errors that are shown before the rest is only counted.
const SHOWN: usize = 20;

/// A load error with the line it is about.
#[derive(Debug)]
struct Problem {
    message: String,
    help: Option<String>,
    source: Option<(NamedSource<String>, usize)>,
}

impl Problem {
    fn of(error: &LoadError) -> Problem {
        let path = if error.path().is_empty() { String::new() } else { format!("{}: ", error.path()) };
        let place = error.place().map_or_else(String::new, |place| format!("{place}: "));
        let source = error.place().filter(|_| !error.excerpt().text.is_empty()).map(|place| {
            // Only the line is at hand; empty lines before it make the numbers right.
            let (before, excerpt) = (place.line.saturating_sub(1).min(1 << 20), error.excerpt());
            let text = format!("{}{}", "\n".repeat(before), excerpt.text);
            (NamedSource::new(&*place.file, text), before + excerpt.offset)
        });
        Problem {
            message: format!("{place}{path}{}", error.message()),
            help: error.help().map(str::to_owned),
            source,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|(source, _)| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (_, at) = self.source.as_ref()?;
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(Some("here".to_owned()), (*at, 1)))))
    }
}

/// Messages are never broken into lines: people search for them, and tools do, too.
pub(super) fn install() {
    let handler = |_: &_| -> Box<dyn miette::ReportHandler> {
        Box::new(miette::MietteHandlerOpts::new().wrap_lines(false).break_words(false).build())
    };
    // It fails only if a handler is there already, and then that one will do.
    let _ = miette::set_hook(Box::new(handler));
}

/// Shows one error.
pub(super) fn one(error: &LoadError) {
    eprintln!("{:?}", miette::Report::new(Problem::of(error)));
}

/// Shows all errors, up to a screenful.
pub(super) fn all(errors: &LoadErrors) {
    errors.0.iter().take(SHOWN).for_each(one);
    if errors.0.len() > SHOWN {
        eprintln!("and {} more errors", errors.0.len() - SHOWN);
    }
}

/// Shows an error that is just a text.
pub(super) fn text(message: &str) {
    eprintln!("error: {message}");
}

/// Shows a warning.
pub(super) fn warning(message: &str) {
    eprintln!("warning: {message}");
}
