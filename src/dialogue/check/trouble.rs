//! The lines for when things go wrong or take long, and what is said where the file is silent on them. It adds no
//! line that a caller could take for a fact.

use super::{Check, File, Language, Lines, Template};

/// What is said where the agent file does not say it.
struct Defaults {
    unclear_bye: &'static str,
    noise: [&'static str; 2],
    noise_bye: &'static str,
    filler: [&'static str; 2],
    limit_warn: &'static str,
    limit_bye: &'static str,
}

const ENGLISH: Defaults = Defaults {
    unclear_bye: "I'm sorry, I can't understand you well enough. Please call again later. Goodbye!",
    noise: [
        "There is a lot of noise on the line. You can use the keys: zero is for a person.",
        "I still can't hear you over the noise. For a person, press zero.",
    ],
    noise_bye: "There is too much noise on the line, so I'll hang up now. Please call again. Goodbye!",
    filler: ["One moment, please.", "It takes a little longer. Please stay on the line."],
    limit_warn: "I'm sorry, I have to end this call in a minute.",
    limit_bye: "I'm sorry, I have to end the call now. Please call again if you need more. Goodbye!",
};

const RUSSIAN: Defaults = Defaults {
    unclear_bye: "Простите, я не могу вас понять. Перезвоните, пожалуйста, позже. До свидания!",
    noise: [
        "На линии сильный шум. Можно пользоваться клавишами: ноль соединит с человеком.",
        "Я всё ещё не слышу вас из-за шума. Чтобы поговорить с человеком, нажмите ноль.",
    ],
    noise_bye: "На линии слишком шумно, поэтому я кладу трубку. Перезвоните, пожалуйста. До свидания!",
    filler: ["Одну минуту, пожалуйста.", "Нужно ещё немного времени. Пожалуйста, оставайтесь на линии."],
    limit_warn: "Простите, через минуту я должен буду закончить разговор.",
    limit_bye: "Простите, время разговора вышло. Если нужно, перезвоните нам. До свидания!",
};

impl Check<'_> {
    /// These lines alone; the others stay empty.
    pub(super) fn trouble(&mut self, file: &File, language: Language) -> Lines {
        let known = match language {
            Language::English => ENGLISH,
            Language::Russian => RUSSIAN,
        };
        let own = |text: &str| Template::parse(text).unwrap_or_default();
        if let Some(voicemail) = &file.voicemail {
            self.says_ai(&voicemail.say, language);
        }
        let (noise, noise_bye) = match &file.noise {
            Some(noise) => (self.list("say", &noise.say), self.plain("bye", &noise.bye)),
            None => (known.noise.map(own).into(), own(known.noise_bye)),
        };
        let (limit_warn, limit_bye) = match &file.limit {
            Some(limit) => (self.plain("warn", &limit.warn), self.plain("bye", &limit.bye)),
            None => (own(known.limit_warn), own(known.limit_bye)),
        };
        Lines {
            unclear_bye: match &file.unclear.bye {
                Some(bye) => self.plain("bye", bye),
                None => own(known.unclear_bye),
            },
            noise,
            noise_bye,
            filler: match &file.filler {
                Some(filler) => self.list("say", &filler.say),
                None => known.filler.map(own).into(),
            },
            limit_warn,
            limit_bye,
            voicemail: file.voicemail.as_ref().map(|v| self.plain("say", &v.say)),
            ..Lines::default()
        }
    }
}
