// The widget's words: every language says everything, and the script is what it is made of. It opens no browser.
import assert from "node:assert/strict";
import { test } from "node:test";
import { readFileSync } from "node:fs";

const read = (name) => readFileSync(new URL(`../../web/widget/src/${name}.js`, import.meta.url), "utf8");
const WORDS = new Function(`${read("words")}\nreturn { WORDS, languageOf };`)();

test("every language says everything", () => {
  const keys = (language) => Object.keys(WORDS.WORDS[language]).filter((key) => !key.endsWith("Long")).sort();
  for (const language of ["ru", "kk"]) assert.deepEqual(keys(language), keys("en"), language);
  for (const [language, words] of Object.entries(WORDS.WORDS)) {
    for (const [key, text] of Object.entries(words)) {
      assert.ok(text.trim(), `${language}.${key}`);
      assert.equal(/[а-яё]/i.test(text) || language === "en" || key === "version", true, `${language}.${key}: ${text}`);
    }
  }
});

test("every word that is asked for is there", () => {
  const code = ["conversation", "widget"].map(read).join("\n");
  const asked = [...code.matchAll(/\bt\.([a-zA-Z]+)\b/g)].map((found) => found[1]);
  assert.ok(asked.length > 30);
  for (const key of asked) assert.ok(key in WORDS.WORDS.en || `${key}` in WORDS.WORDS.ru, key);
});

test("the language that is spoken, of those that are wished for", () => {
  assert.equal(WORDS.languageOf(undefined, "", "ru-RU", "en"), "ru");
  assert.equal(WORDS.languageOf("fr", "kk"), "kk");
  assert.equal(WORDS.languageOf("de", null), "en");
});

test("ICE credentials go where they belong", () => {
  const failure = "class Failure extends Error {}";
  const { iceFragment, restartedAnswer } = new Function(`${failure}\n${read("roads")}\nreturn { iceFragment, restartedAnswer };`)();
  const offer = ["v=0", "a=group:BUNDLE 0 1", "m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=ice-ufrag:aa", "a=ice-pwd:bb", "a=mid:0", "m=application 9 x", "a=ice-ufrag:aa", "a=ice-pwd:bb", "a=mid:1", ""].join("\r\n");
  assert.equal(iceFragment(offer), "a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:aa\r\na=ice-pwd:bb\r\n");
  const answer = "v=0\r\nm=audio 9 x\r\na=ice-ufrag:old\r\na=ice-pwd:old\r\na=candidate:1 old\r\na=end-of-candidates\r\nm=application 9 x\r\na=ice-ufrag:old\r\na=ice-pwd:old\r\n";
  const kept = restartedAnswer(answer, "a=ice-ufrag:new\r\na=ice-pwd:pw\r\n");
  assert.equal(kept, answer.replaceAll("ufrag:old", "ufrag:new").replaceAll("pwd:old", "pwd:pw"));
  const moved = restartedAnswer(answer, "a=ice-ufrag:new\r\na=ice-pwd:pw\r\na=candidate:2 new\r\n");
  assert.ok(moved.includes("a=candidate:2 new") && !moved.includes("a=candidate:1 old"));
  assert.throws(() => restartedAnswer(answer, "a=ice-ufrag:new\r\n"));
});
