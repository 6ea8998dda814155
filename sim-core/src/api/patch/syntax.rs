//! What Go says of a text that is no JSON (`encoding/json/scanner.go`).

use crate::syntax::go_quote;

const BEGIN: &str = "looking for beginning of value";
const BEGIN_KEY: &str = "looking for beginning of object key string";
const END: &str = "unexpected end of JSON input";

/// Nesting at which Go gives up.
const DEEPEST: usize = 10_000;

/// The complaint about a text; none if Go takes it.
pub(super) fn complaint(text: &str) -> Option<String> {
    let mut scanner = Scanner { rest: text.as_bytes(), open: Vec::new() };
    scanner.document().err()
}

struct Scanner<'a> {
    rest: &'a [u8],
    /// The brackets that are open.
    open: Vec<u8>,
}

type Outcome<T = ()> = Result<T, String>;

fn bad(byte: u8, context: &str) -> String {
    let shown = match byte {
        b'\'' => "'\\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        byte => {
            let quoted = go_quote(&char::from(byte).to_string());
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    };
    format!("invalid character {shown} {context}")
}

impl Scanner<'_> {
    fn next(&mut self) -> Outcome<u8> {
        let (first, rest) = self.rest.split_first().ok_or(END)?;
        self.rest = rest;
        Ok(*first)
    }

    /// The next byte that is no space, not taken.
    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.rest.first() {
            self.rest = &self.rest[1..];
        }
        self.rest.first().copied()
    }

    fn document(&mut self) -> Outcome {
        let mut complete = self.value()?;
        loop {
            // After a value: what may come depends on what is open.
            let Some(&bracket) = self.open.last() else {
                return self.peek().map_or(Ok(()), |byte| Err(bad(byte, "after top-level value")));
            };
            if !complete {
                complete = self.begin(bracket)?;
                continue;
            }
            let byte = self.peek().ok_or(END)?;
            self.next()?;
            complete = match (bracket, byte) {
                (b'[', b',') => self.value()?,
                (b'{', b',') => self.member()?,
                (b'[', b']') | (b'{', b'}') => self.open.pop().is_some(),
                (b'[', byte) => return Err(bad(byte, "after array element")),
                (_, byte) => return Err(bad(byte, "after object key:value pair")),
            };
        }
    }

    /// What follows an opening bracket.
    fn begin(&mut self, bracket: u8) -> Outcome<bool> {
        let byte = self.peek().ok_or(END)?;
        if (bracket, byte) == (b'[', b']') || (bracket, byte) == (b'{', b'}') {
            self.next()?;
            self.open.pop();
            return Ok(true);
        }
        if bracket == b'[' { self.value() } else { self.member() }
    }

    /// A key, a colon and a value.
    fn member(&mut self) -> Outcome<bool> {
        let byte = self.peek().ok_or(END)?;
        self.next()?;
        if byte != b'"' {
            return Err(bad(byte, BEGIN_KEY));
        }
        self.string()?;
        let byte = self.peek().ok_or(END)?;
        self.next()?;
        if byte != b':' {
            return Err(bad(byte, "after object key"));
        }
        self.value()
    }

    /// A value, or the opening of one, which is not complete.
    fn value(&mut self) -> Outcome<bool> {
        let byte = self.peek().ok_or(END)?;
        self.next()?;
        match byte {
            b'{' | b'[' => {
                self.open.push(byte);
                if self.open.len() > DEEPEST {
                    return Err("exceeded max depth".into());
                }
                return Ok(false);
            }
            b'"' => self.string()?,
            b'-' => match self.next()? {
                b'0' => self.fraction()?,
                b'1'..=b'9' => self.number()?,
                byte => return Err(bad(byte, "in numeric literal")),
            },
            b'0' => self.fraction()?,
            b'1'..=b'9' => self.number()?,
            b't' => self.literal("true")?,
            b'f' => self.literal("false")?,
            b'n' => self.literal("null")?,
            byte => return Err(bad(byte, BEGIN)),
        }
        Ok(true)
    }

    fn literal(&mut self, word: &str) -> Outcome {
        for expected in word.bytes().skip(1) {
            let byte = self.next()?;
            if byte != expected {
                let context = format!("in literal {word} (expecting '{}')", char::from(expected));
                return Err(bad(byte, &context));
            }
        }
        Ok(())
    }

    fn string(&mut self) -> Outcome {
        loop {
            match self.next()? {
                b'"' => return Ok(()),
                b'\\' => match self.next()? {
                    b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => {}
                    b'u' => {
                        for _ in 0..4 {
                            let byte = self.next()?;
                            if !byte.is_ascii_hexdigit() {
                                return Err(bad(byte, "in \\u hexadecimal character escape"));
                            }
                        }
                    }
                    byte => return Err(bad(byte, "in string escape code")),
                },
                byte if byte < 0x20 => return Err(bad(byte, "in string literal")),
                _ => {}
            }
        }
    }

    fn digits(&mut self) {
        while self.rest.first().is_some_and(u8::is_ascii_digit) {
            self.rest = &self.rest[1..];
        }
    }

    fn number(&mut self) -> Outcome {
        self.digits();
        self.fraction()
    }

    /// What may follow the whole part of a number.
    fn fraction(&mut self) -> Outcome {
        if self.rest.first() == Some(&b'.') {
            self.next()?;
            self.some_digits("after decimal point in numeric literal")?;
        }
        if matches!(self.rest.first(), Some(b'e' | b'E')) {
            self.next()?;
            if matches!(self.rest.first(), Some(b'+' | b'-')) {
                self.next()?;
            }
            self.some_digits("in exponent of numeric literal")?;
        }
        Ok(())
    }

    fn some_digits(&mut self, context: &str) -> Outcome {
        let byte = self.next()?;
        if !byte.is_ascii_digit() {
            return Err(bad(byte, context));
        }
        self.digits();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::complaint;

    #[test]
    fn complaints_are_those_of_go() {
        for (text, expected) in [
            ("not-json", "invalid character 'o' in literal null (expecting 'u')"),
            ("", "unexpected end of JSON input"),
            ("[1, 2", "unexpected end of JSON input"),
            ("{a: 1}", "invalid character 'a' looking for beginning of object key string"),
            ("{'a': 1}", "invalid character '\\'' looking for beginning of object key string"),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("{\"a\": 1 \"b\"}", "invalid character '\"' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("01", "invalid character '1' after top-level value"),
            ("-x", "invalid character 'x' in numeric literal"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("1e+x", "invalid character 'x' in exponent of numeric literal"),
            ("\"\\x\"", "invalid character 'x' in string escape code"),
            ("\"\\u00g0\"", "invalid character 'g' in \\u hexadecimal character escape"),
            ("\"\n\"", "invalid character '\\n' in string literal"),
            (" {\"a\": [true, null, -0.5e3, {}]} ", ""),
        ] {
            assert_eq!(complaint(text).unwrap_or_default(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_our_parser_takes_go_takes(text in "[\\[\\]{}\",:0-9a-eltrufns. \\\\-]{0,12}") {
            if serde_json::from_str::<serde_json::Value>(&text).is_ok() {
                prop_assert_eq!(complaint(&text), None);
            }
        }
    }
}
