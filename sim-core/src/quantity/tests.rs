use super::*;

#[test]
fn common_texts() {
    for (text, value, milli, printed) in [
        ("100m", 1, 100, "100m"),
        ("1.5", 2, 1500, "1500m"),
        ("1Gi", 1 << 30, 1000 << 30, "1Gi"),
        ("1024Mi", 1 << 30, 1000 << 30, "1Gi"),
        ("0.5Gi", 1 << 29, 1000 << 29, "512Mi"),
        ("5.", 5, 5000, "5."),
        ("-1500m", -2, -1500, "-1500m"),
        ("10E", 0, 0, "10E"),
    ] {
        let q = Quantity::parse(text).unwrap();
        assert_eq!((q.value(), q.milli_value(), q.to_string().as_str()), (value, milli, printed), "{text}");
    }
}
