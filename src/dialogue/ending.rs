//! How the words of a turn end: as a whole turn does, in the middle of a sentence, or without a sign of either.
//! It looks at words only, never at sound or silence, and decides nothing.

use super::agent::Agent;
use super::entities::{Language, digits_at_end};
use super::text::{Word, words};

/// What the last words say about whether more will come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// No sentence ends so: "what time do you", "I'd like to", "um".
    pub cut: bool,
    /// The agent's examples go on from here: "can I make" of "can I make an appointment?".
    pub begun: bool,
    /// Word for word one of the examples.
    pub whole: bool,
    /// Nobody says these words in less.
    pub spoken_ms_min: u32,
    /// A phone number was asked for and this holds digits, or a few digits end it that nobody asked for.
    pub number: Option<NumberSoFar>,
}

/// A phone number that may be still under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberSoFar {
    pub digits: usize,
    /// Stands for the digits themselves, to tell one reading from another.
    pub reading: u64,
    /// As many digits as numbers usually have.
    pub complete: bool,
}

/// Fast speech: six digits, or some eight short words a second.
const DIGIT_MS_MIN: u32 = 170;
const WORD_MS_MIN: u32 = 120;
/// "At three thirty" is no group of digits.
const DIGITS_OF_A_GROUP: usize = 3;
const PHONE_DIGITS_MIN: usize = 7;

/// The words of a language that show that a sentence goes on.
struct Signs {
    /// Nothing ends in these.
    open: &'static [&'static str],
    /// Auxiliaries: open, unless somebody answers with them ("yes, I do").
    auxiliaries: &'static [&'static str],
    pronouns: &'static [&'static str],
    /// Together with an auxiliary before them they end a question that begins with one of `askers`: "where are you?".
    askers: &'static [&'static str],
    copulas: &'static [&'static str],
    /// Verbs that lack their object at the end.
    wanting: &'static [&'static str],
    fillers: &'static [&'static str],
}

#[rustfmt::skip]
const ENGLISH: Signs = Signs {
    open: &[
        "a", "an", "the", "my", "your", "his", "our", "their", "some", "and", "or", "but", "because", "if", "that", "than",
        "at", "for", "from", "in", "of", "on", "to", "with", "about", "by", "near", "between", "until", "till", "into",
        "around", "behind", "under", "is", "are", "was", "am", "be", "i", "we", "id", "im", "ive", "ill", "weve", "wed", "its", "thats",
        "theres", "whats", "next", "half", "past", "quarter", "every", "which", "whose", "real", "how", "plus", "dash", "double",
        "triple", "area", "please can", "hundred and", "going", "gonna", "wanna", "very", "really",
    ],
    auxiliaries: &[
        "do", "does", "did", "can", "could", "would", "will", "should", "shall", "may", "might", "must", "have", "has", "had",
        "is", "are", "was", "were", "am",
    ],
    pronouns: &["i", "you", "he", "she", "it", "we", "they", "there"],
    askers: &["what", "where", "how", "who", "when", "which", "why", "much"],
    copulas: &["is", "are", "was", "were"],
    wanting: &[
        "want", "need", "make", "get", "give", "take", "put", "bring", "tell", "ask", "find", "like", "love", "wondering", "would",
        "said", "called", "have", "book", "schedule", "arrange", "mean", "say",
    ],
    fillers: &["um", "uh", "er", "erm", "hmm", "hm", "mm", "ah", "eh", "well", "so", "actually", "anyway", "like", "uhm"],
};

#[rustfmt::skip]
const RUSSIAN: Signs = Signs {
    open: &[
        "и", "а", "но", "или", "что", "чтобы", "если", "потому", "в", "во", "на", "по", "с", "со", "к", "ко", "у", "о", "об",
        "от", "до", "за", "для", "из", "без", "под", "при", "про", "около", "между", "через", "насчет", "мой", "моя", "мое", "мою", "моего", "моей",
        "ваш", "ваша", "ваше", "вашу", "этот", "эту", "следующий", "следующую", "следующей", "какой", "какая", "какое", "какую",
        "который", "половина", "половине", "пол", "четверть", "бы", "ли", "не", "очень", "плюс", "есть ли", "я", "мы", "зовут",
    ],
    auxiliaries: &[],
    pronouns: &[],
    askers: &[],
    copulas: &[],
    wanting: &[
        "хочу", "хотел", "хотела", "хотелось", "нужно", "надо", "могу", "можно", "можете", "могли", "нужна", "нужен", "узнать", "сделать",
        "получить", "скажите", "подскажите", "запишите", "собираюсь", "планирую",
    ],
    fillers: &["эм", "э", "эээ", "ээ", "мм", "ммм", "хм", "ну", "значит", "вот", "короче", "типа"],
};

/// What may stand before a turn without changing it.
const LEADS: [&str; 20] = [
    "um",
    "uh",
    "er",
    "erm",
    "hmm",
    "hm",
    "ah",
    "oh",
    "well",
    "so",
    "yes",
    "okay",
    "ok",
    "hello",
    "hi",
    "actually",
    "ну",
    "эм",
    "да",
    "здравствуйте",
];

pub(crate) fn ending(agent: &Agent, text: &str) -> Ending {
    let words = words(text);
    let text = text.trim_end();
    let broken_off = text.ends_with(['-', '…', ':']) || text.ends_with("...");
    let signs = match agent.language {
        Language::English => &ENGLISH,
        Language::Russian => &RUSSIAN,
    };
    let said: Vec<&str> = words.iter().map(|w| w.text.as_str()).collect();
    let led = said.iter().take_while(|w| LEADS.contains(w)).count();
    let turn = said.get(led..).unwrap_or_default();
    let whole = is_example(agent, &said) || is_example(agent, turn);
    let begun = !whole && turn.len() > 1 && begins_example(agent, turn);
    Ending {
        cut: !whole && (broken_off || is_cut(&words, &said, signs)),
        begun,
        whole,
        spoken_ms_min: spoken_ms_min(&said),
        number: unasked_number(text, agent.language),
    }
}

/// Digits that are read out though nobody asked: fewer than a number has are its beginning.
fn unasked_number(text: &str, language: Language) -> Option<NumberSoFar> {
    let digits = digits_at_end(text, language);
    let begun = (DIGITS_OF_A_GROUP..PHONE_DIGITS_MIN).contains(&digits);
    begun.then_some(NumberSoFar { digits, reading: 0, complete: false })
}

impl NumberSoFar {
    pub(crate) fn new(digits: &str) -> Self {
        let reading = digits.bytes().fold(0u64, |sum, d| sum.wrapping_mul(11).wrapping_add(u64::from(d)));
        Self { digits: digits.len(), reading, complete: true }
    }
}

fn spoken_ms_min(said: &[&str]) -> u32 {
    let digits: usize = said.iter().map(|w| w.chars().filter(char::is_ascii_digit).count()).sum();
    let others = said.iter().filter(|w| !w.starts_with(|c: char| c.is_ascii_digit())).count();
    let ms = |count: usize, each: u32| u32::try_from(count).unwrap_or(u32::MAX).saturating_mul(each);
    ms(digits, DIGIT_MS_MIN).saturating_add(ms(others, WORD_MS_MIN))
}

fn is_example(agent: &Agent, said: &[&str]) -> bool {
    agent.examples.iter().any(|example| example == said)
}

fn begins_example(agent: &Agent, said: &[&str]) -> bool {
    let begins =
        |example: &Vec<String>| example.len() > said.len() && example.iter().zip(said).all(|(word, said)| word == said);
    agent.examples.iter().any(begins)
}

fn is_cut(words: &[Word], said: &[&str], signs: &Signs) -> bool {
    let Some((last, before)) = said.split_last() else { return false };
    if signs.fillers.contains(last) {
        // "So" and "like" end a turn only as a filler does: on their own, or set apart.
        return words.len() == 1 || *last != "like" || before.last().is_some_and(|w| *w == "id" || *w == "would");
    }
    let previous = before.last().copied().unwrap_or_default();
    if signs.pronouns.contains(last) && signs.auxiliaries.contains(&previous) {
        let asked = before.iter().any(|w| signs.askers.contains(w));
        let closes = asked && signs.copulas.contains(&previous) && *last != "there" && *last != "i";
        return !closes;
    }
    if signs.auxiliaries.contains(last) && signs.pronouns.contains(&previous) && before.len() <= 3 {
        // "Yes, I do", "it is": an answer, unless a question began it.
        return before.iter().any(|w| signs.askers.contains(w));
    }
    if signs.wanting.contains(last) {
        return !before.is_empty() || said.len() == 1;
    }
    signs.open.contains(last) || signs.auxiliaries.contains(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(agent: &str, cut: &[&str], not_cut: &[&str]) {
        let agent = Agent::parse(agent).unwrap();
        for text in cut {
            let ending = ending(&agent, text);
            assert!(ending.cut || ending.begun, "{text}: {ending:?}");
        }
        for text in not_cut {
            let ending = ending(&agent, text);
            assert!(!ending.cut && !ending.begun, "{text}: {ending:?}");
        }
    }

    const ENGLISH: &str = include_str!("../../configs/agents/front-desk.toml");
    const RUSSIAN: &str = include_str!("../../configs/agents/front-desk-ru.toml");

    #[test]
    fn english() {
        check(
            ENGLISH,
            &[
                "What time do you?",
                "What time do you open on?",
                "I'd like to.",
                "I'd like",
                "How much is?",
                "Can I make?",
                "Um,",
                "Is there parking near the.",
                "My name is.",
                "I need to",
                "Actually,",
                "Actually, what about",
                "Sorry, could you?",
                "I want to speak to a real,",
                "Half past",
                "Next",
                "Where are",
                "Please delete my",
                "I want to... ",
                "I'd like to book an appointment for Tuesday.",
                "\"'I'd like to book an appointment for Tuesday.",
                "So",
            ],
            &[
                "What time do you open on Saturday?",
                "Where are you?",
                "How are you?",
                "Yes, I do.",
                "It is.",
                "How much is it?",
                "Thank you.",
                "I'd like to book an appointment.",
                "No.",
                "Next Thursday.",
                "Half past ten.",
                "Anna Miller.",
                "My name is Anna.",
                "Okay.",
                "What street are you on?",
                "Who are you?",
            ],
        );
    }

    #[test]
    fn digits_that_nobody_asked_for() {
        let agent = Agent::parse(ENGLISH).unwrap();
        let open = |text: &str| ending(&agent, text).number.is_some_and(|n| !n.complete);
        assert!(open("My number is five five five") && open("It's 555 123"));
        assert!(!open("My number is 555 123 4567") && !open("At three thirty") && !open("Half past ten."));
    }

    #[test]
    fn russian() {
        check(
            RUSSIAN,
            &[
                "Я хочу",
                "Сколько стоит чистка и",
                "Меня зовут",
                "Эм,",
                "Можно записаться на",
                "Запишите меня в следующую",
                "Ну",
            ],
            &[
                "Сколько стоит чистка?",
                "Да.",
                "Нет, спасибо.",
                "В следующий четверг.",
                "Меня зовут Анна.",
                "До свидания.",
            ],
        );
    }

    /// Whoever wrote an agent file gave examples of whole turns.
    #[test]
    fn no_example_is_cut() {
        for text in [ENGLISH, RUSSIAN] {
            let agent = Agent::parse(text).unwrap();
            for example in &agent.examples {
                let text = example.join(" ");
                let ending = ending(&agent, &text);
                assert!(ending.whole && !ending.cut && !ending.begun, "{text}: {ending:?}");
            }
        }
    }
}
