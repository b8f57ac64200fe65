//! Credits as text of 12 significant digits whose sum is the whole, to the digits printed.

/// Writes each credit with 12 significant digits. What rounding takes from a small credit is carried into the next
/// larger one, and the largest takes what is left to `whole`, so that no error adds up; each is off by one unit of its own
/// last digit at most. Zeros stay zero.
pub fn printed(credits: &[f64], whole: f64) -> Vec<String> {
    let mut texts: Vec<String> = credits.iter().map(|credit| decimal(*credit)).collect();
    let mut by_size: Vec<usize> = (0..credits.len()).filter(|at| credits[*at] != 0.0).collect();
    by_size.sort_by(|one, other| credits[*one].abs().total_cmp(&credits[*other].abs()).then(one.cmp(other)));
    let Some(largest) = by_size.pop() else { return texts };
    let mut carry = 0.0;
    let mut given = 0.0;
    for at in by_size {
        let wanted = credits[at] + carry;
        texts[at] = decimal(wanted);
        let rounded: f64 = texts[at].parse().unwrap_or(wanted);
        carry = wanted - rounded;
        given += rounded;
    }
    let rest = whole - given;
    // A whole that is not the sum of the credits is the caller's mistake; it must not land in one channel.
    let close = (rest - credits[largest]).abs() <= 1e-9 * whole.abs().max(credits[largest].abs());
    texts[largest] = decimal(if close { rest } else { credits[largest] });
    texts
}

/// A number with 12 significant digits, without an exponent and without trailing zeros.
pub fn decimal(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return "0".to_owned();
    }
    let scientific = format!("{number:.*e}", SIGNIFICANT_DIGITS - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let sign = if number < 0.0 { "-" } else { "" };
    let whole_digits = exponent + 1;
    let (whole, part) = if whole_digits <= 0 {
        ("0".to_owned(), "0".repeat(whole_digits.unsigned_abs() as usize) + &digits)
    } else if whole_digits as usize >= digits.len() {
        (format!("{digits}{}", "0".repeat(whole_digits as usize - digits.len())), String::new())
    } else {
        (digits[..whole_digits as usize].to_owned(), digits[whole_digits as usize..].to_owned())
    };
    let part = part.trim_end_matches('0');
    if part.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") }
}

/// What the contract's output has.
const SIGNIFICANT_DIGITS: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_have_twelve_digits_and_no_exponent() {
        assert_eq!(decimal(1.0 / 3.0), "0.333333333333");
        assert_eq!(decimal(-2e15 / 3.0), "-666666666667000");
        assert_eq!(decimal(123.0), "123");
        assert_eq!(decimal(1e-9 / 7.0), "0.000000000142857142857");
        assert_eq!(decimal(99_999.999_999_99), "100000");
        assert_eq!([decimal(0.0), decimal(-0.0), decimal(f64::NAN)], ["0", "0", "0"]);
    }

    #[test]
    fn thirds_sum_to_one() {
        let third = 1.0 / 3.0;
        assert_eq!(printed(&[third, third, third], 1.0), ["0.333333333333", "0.333333333334", "0.333333333333"]);
        assert_eq!(printed(&[0.0, 7.0], 7.0), ["0", "7"]);
        assert!(printed(&[], 0.0).is_empty());
    }

    proptest! {
        #[test]
        fn the_printed_credits_sum_to_the_whole(
            parts in prop::collection::vec((0.0..1.0_f64, -9_i32..7), 1..200),
        ) {
            let credits: Vec<f64> = parts.iter().map(|(part, power)| part * libm::pow(10.0, f64::from(*power))).collect();
            let whole: f64 = credits.iter().sum();
            let texts = printed(&credits, whole);
            let largest = credits.iter().copied().fold(0.0, f64::max);
            let unit = if largest > 0.0 { libm::pow(10.0, libm::floor(libm::log10(largest)) - 11.0) } else { 0.0 };
            let sum: f64 = texts.iter().map(|text| text.parse::<f64>().expect("a number")).sum();
            prop_assert!((sum - whole).abs() <= 0.51 * unit + whole * 1e-15, "{} {} {}", sum, whole, unit);
            for (text, credit) in texts.iter().zip(&credits) {
                let number: f64 = text.parse().expect("a number");
                prop_assert!((number - credit).abs() <= 1.1e-11 * credit.abs(), "{} {}", number, credit);
            }
        }
    }
}
