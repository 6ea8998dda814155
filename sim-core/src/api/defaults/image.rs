//! Image references, as far as defaults need them (`pkg/util/parsers`, `distribution/reference`).

/// The tag of an image reference: `latest` if it has neither tag nor digest, `None` with a digest alone or if the text
/// is no valid reference.
///
/// ```
/// use sim_core::api::defaults::image_tag;
/// assert_eq!(image_tag("registry.k8s.io:443/pause"), Some("latest"));
/// assert_eq!(image_tag("nginx:1.25"), Some("1.25"));
/// assert_eq!(image_tag("Nginx"), None);
/// ```
pub fn image_tag(image: &str) -> Option<&str> {
    let (rest, digest) = match image.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (image, None),
    };
    let last = rest.rfind('/').map_or(0, |i| i + 1);
    let (name, tag) = match rest[last..].split_once(':') {
        Some((_, tag)) => (&rest[..rest.len() - tag.len() - 1], Some(tag)),
        None => (rest, None),
    };
    let valid = is_name(name) && tag.is_none_or(is_tag) && digest.is_none_or(is_digest);
    match (valid, tag, digest) {
        (false, ..) => None,
        (true, Some(tag), _) => Some(tag),
        (true, None, Some(_)) => None,
        (true, None, None) => Some("latest"),
    }
}

fn is_tag(tag: &str) -> bool {
    let first = tag.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    first && tag.len() <= 128 && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else { return false };
    let known = match algorithm {
        "sha256" => hex.len() == 64,
        "sha384" => hex.len() == 96,
        "sha512" => hex.len() == 128,
        _ => false,
    };
    known && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// `[domain/]path/…`: a first component with a dot, a port or a capital letter is a domain, as is `localhost`.
fn is_name(name: &str) -> bool {
    if name.len() > 255 {
        return false;
    }
    let path = match name.split_once('/') {
        Some((domain, path))
            if domain == "localhost" || domain.contains(|c: char| ".:".contains(c) || c.is_uppercase()) =>
        {
            if !is_domain(domain) {
                return false;
            }
            path
        }
        _ => name,
    };
    path.split('/').all(is_component)
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = domain.split_once(':').unwrap_or((domain, "0"));
    let label = |l: &str| {
        !l.is_empty()
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && host.split('.').all(label)
}

/// Lower-case letters and digits, separated by `.`, `_`, `__` or dashes.
fn is_component(component: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let ends = bytes.first().is_some_and(|b| is_word(*b)) && bytes.last().is_some_and(|b| is_word(*b));
    ends && component
        .split(|c: char| c.is_ascii() && is_word(c as u8))
        .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_references() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (image, tag) in [
            ("i", Some("latest")),
            ("i:v1", Some("v1")),
            ("reg:5000/i", Some("latest")),
            ("reg:5000/a/i:2", Some("2")),
            ("a__b/c--d.e", Some("latest")),
            ("Reg/i", Some("latest")),
            ("localhost/i", Some("latest")),
            ("", None),
            ("I", None),
            ("a//b", None),
            ("a..b", None),
            ("i:", None),
            ("i:.x", None),
            ("i@sha256:12", None),
            ("reg:x/i", None),
        ] {
            assert_eq!(image_tag(image), tag, "{image}");
        }
        assert_eq!(image_tag(&format!("i@{digest}")), None);
        assert_eq!(image_tag(&format!("i:v1@{digest}")), Some("v1"));
    }
}
