//! Whether the caller said yes to being recorded. A closed, conservative grammar: only a whole turn of
//! clear yes is a yes, and nothing learned, fuzzy or configurable may ever widen it. It keeps nothing.

use super::entities::primary_subtag;
use super::text::{Break, Word, phrase_at, words};

/// What the caller answered to the consent question. Unclear and silence count as a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsentAnswer {
    Yes,
    No,
    Unclear,
}

struct Grammar {
    /// One of these has to be said for a yes, and nothing outside this grammar.
    yes: &'static [&'static str],
    no: &'static [&'static str],
    /// Change nothing: "please", "thank you".
    polite: &'static [&'static str],
    /// Allowed in a no: it is no harm to take "no, please don't record me" for one.
    around_no: &'static [&'static str],
    /// Sound like a no and are none.
    not_no: &'static [&'static str],
}

const ENGLISH: Grammar = Grammar {
    yes: &[
        "yes",
        "yeah",
        "yep",
        "yup",
        "yes i do",
        "yes you may",
        "yes you can",
        "yes i agree",
        "yes i consent",
        "yes thats fine",
        "yes that is fine",
        "yes of course",
        "yeah sure",
        "yes sure",
        "sure",
        "i agree",
        "i consent",
        "of course",
        "absolutely",
        "certainly",
        "yes go ahead",
        "yes thats okay",
        "yes thats ok",
        "yes i am sure",
    ],
    no: &[
        "no",
        "nope",
        "nah",
        "no thank you",
        "no thanks",
        "i do not",
        "i dont",
        "please dont",
        "please do not",
        "dont",
        "do not",
        "id rather not",
        "i would rather not",
        "rather not",
        "i dont agree",
        "i do not agree",
        "i dont consent",
        "i do not consent",
        "i refuse",
        "i disagree",
        "not",
        "never",
        // How a short "no" is often misheard. Wrongly a no, it costs a transcript and harms nobody.
        "now",
    ],
    // Fillers too: recognizers like to end a short clip in one.
    polite: &["please", "thank", "thanks", "you", "um", "uh", "ah", "er", "erm", "eh", "oh", "sir", "maam"],
    around_no: &[
        "i",
        "want",
        "that",
        "to",
        "be",
        "it",
        "this",
        "me",
        "record",
        "recorded",
        "recording",
        "keep",
        "store",
        "save",
        "a",
        "the",
        "any",
        "my",
        "transcript",
        "call",
        "really",
        "like",
        "would",
        "prefer",
        "agree",
        "kept",
    ],
    not_no: &["no problem", "no worries", "why not", "i dont mind", "do not mind", "dont mind", "no objection"],
};

/// Russian and Kazakh together: one caller mixes both.
const RUSSIAN_KAZAKH: Grammar = Grammar {
    yes: &[
        "да",
        "да да",
        "да конечно",
        "конечно",
        "да можно",
        "да согласен",
        "да согласна",
        "согласен",
        "согласна",
        "я согласен",
        "я согласна",
        "да разрешаю",
        "разрешаю",
        "да пожалуйста",
        "иә",
        "ия",
        "иә әрине",
        "әрине",
        "келісемін",
        "мен келісемін",
        "иә келісемін",
        "иә болады",
    ],
    no: &[
        "нет",
        "не",
        "не надо",
        "не нужно",
        "не хочу",
        "не согласен",
        "не согласна",
        "не разрешаю",
        "нельзя",
        "против",
        "я против",
        "отказываюсь",
        "жоқ",
        "жок",
        "қажет емес",
        "керек емес",
        "келіспеймін",
        "болмайды",
    ],
    polite: &["пожалуйста", "спасибо", "большое", "рахмет", "өтінемін", "эм", "э"],
    around_no: &[
        "я",
        "меня",
        "это",
        "записывать",
        "записывайте",
        "сохранять",
        "сохраняйте",
        "хранить",
        "разговор",
        "запись",
        "хочу",
        "надо",
        "нужно",
        "чтобы",
        "мой",
        "текст",
        "хотел",
        "хотела",
        "бы",
        "хотелось",
        "согласен",
        "согласна",
        "мен",
        "жазбаңыз",
        "сақтамаңыз",
    ],
    not_no: &["не против", "я не против", "не возражаю", "нет проблем", "нет возражений", "қарсы емеспін"],
};

/// Reads one whole turn. `language` is a BCP 47 tag; in a language without a grammar here nothing is a yes.
pub fn consent_answer(text: &str, language: &str) -> ConsentAnswer {
    let grammar = match primary_subtag(language).as_str() {
        "en" => &ENGLISH,
        "ru" | "kk" => &RUSSIAN_KAZAKH,
        _ => return ConsentAnswer::Unclear,
    };
    let words = words(text);
    let asks = words.iter().any(|word| word.after == Break::Question);
    if words.is_empty() || asks {
        return ConsentAnswer::Unclear;
    }
    if only(&words, &[grammar.yes, grammar.polite]) && holds(&words, grammar.yes) && !holds(&words, grammar.no) {
        return ConsentAnswer::Yes;
    }
    let no = only(&words, &[grammar.no, grammar.polite, grammar.around_no]) && holds(&words, grammar.no);
    if no && !holds(&words, &BARE_YES) && !holds(&words, grammar.not_no) {
        return ConsentAnswer::No;
    }
    ConsentAnswer::Unclear
}

/// Beside a no, these make a turn unclear.
const BARE_YES: [&str; 13] =
    ["yes", "yeah", "yep", "yup", "sure", "of course", "absolutely", "certainly", "да", "конечно", "иә", "ия", "әрине"];

/// Whether the whole turn is made of these phrases.
fn only(words: &[Word], phrases: &[&[&str]]) -> bool {
    let mut i = 0;
    while i < words.len() {
        match phrases.iter().map(|list| phrase_at(words, i, list)).max() {
            Some(length) if length > 0 => i += length,
            _ => return false,
        }
    }
    true
}

fn holds(words: &[Word], phrases: &[&str]) -> bool {
    (0..words.len()).any(|i| phrase_at(words, i, phrases) > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(language: &str, expected: ConsentAnswer, answers: &[&str]) {
        for answer in answers {
            assert_eq!(consent_answer(answer, language), expected, "{language}: {answer}");
        }
    }

    #[test]
    fn only_a_clear_yes_is_a_yes() {
        check(
            "en",
            ConsentAnswer::Yes,
            &[
                "Yes.",
                "yes please",
                "Yes, please.",
                "yeah sure",
                "Yes. Yes. Yes.",
                "Yes, please, ah.",
                "Yes, please, er.",
                "Yep",
                "Yeah.",
                "I agree.",
                "Of course.",
                "Yes, thank you.",
                "Um, yes.",
                "yes you may",
                "Yes, of course.",
            ],
        );
        check(
            "ru",
            ConsentAnswer::Yes,
            &["Да.", "да, конечно", "Да да.", "Конечно", "Да, пожалуйста.", "я согласна", "Иә"],
        );
        check("kk", ConsentAnswer::Yes, &["иә", "Иә, әрине.", "Келісемін", "Иә. Иә."]);
    }

    #[test]
    fn a_no_is_a_no() {
        check(
            "en-US",
            ConsentAnswer::No,
            &[
                "No.",
                "No thank you",
                "No, thank you.",
                "nope",
                "No. No. No.",
                "I'd rather not.",
                "Please don't.",
                "No, please do not record me",
                "I don't want that",
                "no I don't agree",
            ],
        );
        check(
            "ru",
            ConsentAnswer::No,
            &["Нет.", "нет, спасибо", "Не надо", "не согласен", "Нет, не записывайте", "Жоқ"],
        );
        check("kk", ConsentAnswer::No, &["Жоқ", "жоқ, рахмет", "керек емес"]);
    }

    #[test]
    fn everything_else_is_unclear() {
        check(
            "en",
            ConsentAnswer::Unclear,
            &[
                "okay",
                "Uh huh.",
                "Okay.",
                "",
                "Yes?",
                "yes no",
                "No. Yes.",
                "yes and no",
                "Yes, what is that for?",
                "right",
                "I'm not sure",
                "sure?",
                "no problem",
                "I don't mind",
                "What time do you open?",
                "yes but not my name",
                "fine",
                "You",
                "Thank you.",
                "Are you sure",
                "go ahead",
                "mm hm",
                "not sure",
                "yesterday",
                "no sure",
                "Hello",
                "да",
                "is that a yes",
                "yes I have a question",
                "please",
            ],
        );
        check(
            "ru",
            ConsentAnswer::Unclear,
            &[
                "хорошо",
                "ладно",
                "угу",
                "да нет",
                "Да нет, наверное",
                "Да?",
                "не против",
                "да, а зачем",
                "ну",
                "окей",
                "yes",
                "алло да",
            ],
        );
        check("kk", ConsentAnswer::Unclear, &["жақсы", "жарайды", "иә жоқ"]);
        check("fr", ConsentAnswer::Unclear, &["oui", "yes", "да"]);
    }
}
