//! `labels.Parse`: the text form of label selectors.

use std::collections::BTreeSet;

use super::{Operator, Requirement, Selector, SelectorError};
use crate::syntax::{go_quote, is_qualified_name};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    End,
    ClosedPar,
    Comma,
    DoesNotExist,
    DoubleEquals,
    Equals,
    GreaterThan,
    Identifier,
    In,
    LessThan,
    NotEquals,
    NotIn,
    OpenPar,
}

const OPERATORS: &str = "in, notin, =, ==, !=, gt, lt";

fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

fn special(text: &str) -> Option<(Token, usize)> {
    let pair = text.get(..2).unwrap_or_default();
    match (pair, text.as_bytes().first()?) {
        ("==", _) => Some((Token::DoubleEquals, 2)),
        ("!=", _) => Some((Token::NotEquals, 2)),
        (_, b'=') => Some((Token::Equals, 1)),
        (_, b'!') => Some((Token::DoesNotExist, 1)),
        (_, b'(') => Some((Token::OpenPar, 1)),
        (_, b')') => Some((Token::ClosedPar, 1)),
        (_, b',') => Some((Token::Comma, 1)),
        (_, b'>') => Some((Token::GreaterThan, 1)),
        (_, b'<') => Some((Token::LessThan, 1)),
        _ => None,
    }
}

/// The tokens of a text. It ends at a NUL, as upstream's lexer does.
fn lex(text: &str) -> Vec<(Token, &str)> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        if rest.is_empty() || rest.starts_with('\0') {
            return tokens;
        }
        if let Some((token, length)) = special(rest) {
            let (literal, after) = rest.split_at(length);
            tokens.push((token, literal));
            rest = after;
            continue;
        }
        let ends = |b: &u8| is_space(*b) || *b == 0 || b"=!(),><".contains(b);
        let length = rest.bytes().position(|b| ends(&b)).unwrap_or(rest.len());
        let (literal, after) = rest.split_at(length);
        let token = match literal {
            "in" => Token::In,
            "notin" => Token::NotIn,
            _ => Token::Identifier,
        };
        tokens.push((token, literal));
        // A NUL that ends an identifier is eaten with it.
        rest = after.strip_prefix('\0').unwrap_or(after);
    }
}

struct Parser<'a> {
    tokens: Vec<(Token, &'a str)>,
    position: usize,
}

impl<'a> Parser<'a> {
    /// The next token; where values or keys are expected, the operators' names are identifiers.
    fn look(&self) -> (Token, &'a str) {
        match self.tokens.get(self.position).copied() {
            Some((Token::In | Token::NotIn, literal)) => (Token::Identifier, literal),
            Some(token) => token,
            None => (Token::End, ""),
        }
    }

    fn take(&mut self) -> (Token, &'a str) {
        let token = self.look();
        self.position += 1;
        token
    }

    fn selector(&mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        loop {
            match self.look() {
                (Token::Identifier | Token::DoesNotExist, _) => {
                    let requirement =
                        self.requirement().map_err(|e| format!("unable to parse requirement: {e}"))?;
                    requirements.push(requirement);
                    match self.take() {
                        (Token::End, _) => return Ok(requirements),
                        (Token::Comma, _) => match self.look() {
                            (Token::Identifier | Token::DoesNotExist, _) => {}
                            (_, found) => {
                                return Err(format!("found '{found}', expected: identifier after ','"));
                            }
                        },
                        (_, found) => {
                            return Err(format!("found '{found}', expected: ',' or 'end of string'"));
                        }
                    }
                }
                (Token::End, _) => return Ok(requirements),
                (_, found) => {
                    return Err(format!("found '{found}', expected: !, identifier, or 'end of string'"));
                }
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let (key, inferred) = self.key()?;
        let (operator, values) = match inferred {
            Some(operator) => (operator, BTreeSet::new()),
            None => {
                let operator = self.operator()?;
                let values = match operator {
                    Operator::In | Operator::NotIn => self.values()?,
                    _ => self.exact_value()?,
                };
                (operator, values)
            }
        };
        let values: Vec<String> = values.into_iter().map(str::to_string).collect();
        Requirement::new(key, operator, &values).map_err(|e| e.to_string())
    }

    /// A key, and the operator if none follows.
    fn key(&mut self) -> Result<(&'a str, Option<Operator>), String> {
        let (mut token, mut literal) = self.take();
        let negated = token == Token::DoesNotExist;
        if negated {
            (token, literal) = self.take();
        }
        if token != Token::Identifier {
            return Err(format!("found '{literal}', expected: identifier"));
        }
        let errors = is_qualified_name(literal);
        if !errors.is_empty() {
            // Upstream prints its absent path so.
            return Err(format!("<nil>: Invalid value: {}: {}", go_quote(literal), errors.join("; ")));
        }
        let ends = matches!(self.look(), (Token::End | Token::Comma, _));
        let operator = match (negated, ends) {
            (true, _) => Some(Operator::DoesNotExist),
            (false, true) => Some(Operator::Exists),
            (false, false) => None,
        };
        Ok((literal, operator))
    }

    fn operator(&mut self) -> Result<Operator, String> {
        let token = self.tokens.get(self.position).copied().unwrap_or((Token::End, ""));
        self.position += 1;
        match token {
            (Token::In, _) => Ok(Operator::In),
            (Token::NotIn, _) => Ok(Operator::NotIn),
            (Token::Equals, _) => Ok(Operator::Equals),
            (Token::DoubleEquals, _) => Ok(Operator::DoubleEquals),
            (Token::NotEquals, _) => Ok(Operator::NotEquals),
            (Token::GreaterThan, _) => Ok(Operator::GreaterThan),
            (Token::LessThan, _) => Ok(Operator::LessThan),
            (_, found) => Err(format!("found '{found}', expected: {OPERATORS}")),
        }
    }

    fn values(&mut self) -> Result<BTreeSet<&'a str>, String> {
        match self.take() {
            (Token::OpenPar, _) => {}
            (_, found) => return Err(format!("found '{found}' expected: '('")),
        }
        match self.look() {
            (Token::Identifier | Token::Comma, first) => {
                let values = self.list()?;
                match self.take() {
                    (Token::ClosedPar, _) => Ok(values),
                    _ => Err(format!("found '{first}', expected: ')'")),
                }
            }
            (Token::ClosedPar, _) => {
                self.take();
                Ok(BTreeSet::from([""]))
            }
            (_, found) => Err(format!("found '{found}', expected: ',', ')' or identifier")),
        }
    }

    /// Identifiers with commas between them; a place without one is the empty value.
    fn list(&mut self) -> Result<BTreeSet<&'a str>, String> {
        let mut values = BTreeSet::new();
        loop {
            match self.take() {
                (Token::Identifier, literal) => {
                    values.insert(literal);
                    match self.look() {
                        (Token::Comma, _) => {}
                        (Token::ClosedPar, _) => return Ok(values),
                        (_, found) => return Err(format!("found '{found}', expected: ',' or ')'")),
                    }
                }
                (Token::Comma, _) => {
                    if values.is_empty() {
                        values.insert("");
                    }
                    match self.look() {
                        (Token::ClosedPar, _) => {
                            values.insert("");
                            return Ok(values);
                        }
                        (Token::Comma, _) => {
                            self.take();
                            values.insert("");
                        }
                        _ => {}
                    }
                }
                (_, found) => return Err(format!("found '{found}', expected: ',', or identifier")),
            }
        }
    }

    fn exact_value(&mut self) -> Result<BTreeSet<&'a str>, String> {
        if matches!(self.look(), (Token::End | Token::Comma, _)) {
            return Ok(BTreeSet::from([""]));
        }
        match self.take() {
            (Token::Identifier, literal) => Ok(BTreeSet::from([literal])),
            (_, found) => Err(format!("found '{found}', expected: identifier")),
        }
    }
}

impl Selector {
    /// Reads the text form, as `kubectl -l` takes it.
    ///
    /// # Errors
    /// In upstream's words.
    pub fn parse(text: &str) -> Result<Selector, SelectorError> {
        let requirements = Parser { tokens: lex(text), position: 0 }.selector();
        requirements.map(Selector::new).map_err(SelectorError::one)
    }
}

impl std::str::FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Selector, SelectorError> {
        Selector::parse(text)
    }
}
