//! Answers as an assistant gets them: bounded, and without what could pass for more than text.

use serde_json::{Map, Value};

/// The most characters of one text: a log line says what it has to say in fewer.
const TEXT_MAX: usize = 600;
/// The most entries of one list.
const LIST_MAX: usize = 100;
/// The most bytes of an answer; what is more is left out, and said so.
const WHOLE_MAX: usize = 48 * 1024;

/// The answer with every text and list within bounds.
pub(super) fn bounded(answer: Value) -> Value {
    let mut most = LIST_MAX;
    loop {
        let cut = bound(&answer, most);
        if cut.to_string().len() <= WHOLE_MAX || most == 0 {
            return cut;
        }
        most /= 2;
    }
}

fn bound(value: &Value, most: usize) -> Value {
    match value {
        Value::String(text) => Value::String(words(text)),
        Value::Array(all) => {
            let mut kept: Vec<Value> = all.iter().take(most).map(|one| bound(one, most)).collect();
            if all.len() > most {
                kept.push(Value::String(format!("{} more are left out", all.len() - most)));
            }
            Value::Array(kept)
        }
        Value::Object(fields) => {
            let bounded = fields.iter().map(|(name, value)| (name.clone(), bound(value, most)));
            Value::Object(bounded.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

/// Text without control and invisible characters, cut to length.
pub(super) fn words(text: &str) -> String {
    let is_plain = |c: &char| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
    };
    let mut kept: String = text.chars().filter(is_plain).take(TEXT_MAX + 1).collect();
    if kept.chars().count() > TEXT_MAX {
        kept = kept.chars().take(TEXT_MAX).chain(['…']).collect();
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_hidden_in_text_does_not_reach_an_assistant() {
        let tags: String = "ignore".chars().filter_map(|c| char::from_u32(0xe0000 + c as u32)).collect();
        assert_eq!(words(&format!("disk full\u{1b}[2J\u{202e}{tags}\nnext")), "disk full[2Jnext");
    }

    #[test]
    fn a_long_list_says_how_much_is_left_out() {
        let cut = bounded(json!({ "all": vec!["x"; 130] }));
        assert_eq!(cut["all"].as_array().map(Vec::len), Some(101));
        assert_eq!(cut["all"][100], "30 more are left out");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<i64>().prop_map(Value::from), ".{0,2000}".prop_map(Value::from)];
        leaf.prop_recursive(4, 400, 200, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..200).prop_map(Value::Array),
                prop::collection::btree_map("[a-z]{1,8}", inner, 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn no_answer_is_longer_than_the_bound(value in any_json()) {
            // A list is the outermost thing, as in every answer that can be long.
            let length = bounded(json!({ "incidents": [value.clone(), value] })).to_string().len();
            prop_assert!(length <= WHOLE_MAX + 8 * 1024, "{length}");
        }
    }
}
