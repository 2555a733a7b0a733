//! Configurations as texts, and what is said of them. It reads no file.

use super::*;

fn parse(text: &str, env: &[(&str, &str)]) -> Result<Config, String> {
    let env = env.iter().map(|(k, v)| (k.to_string(), v.to_string()));
    Config::parse(Path::new("configs/x.toml"), text, env).map_err(|e| e.to_string())
}

/// A bad config must name every one of these in its error.
fn check(text: &str, env: &[(&str, &str)], wants: &[&str]) {
    let error = parse(text, env).expect_err("must be refused");
    for want in wants {
        assert!(error.contains(want), "{want:?} missing in: {error}");
    }
}

const AGENT: &str = "[[agent]]\nfile = \"agents/a.toml\"\n";

#[test]
fn errors_name_key_line_and_what_is_allowed() {
    check("[sip]\nbnid = \"1.2.3.4:5060\"\n", &[], &["line 2", "bnid", "bind"]);
    check("[sip]\nbind = \"nonsense\"\n", &[], &["line 2", "bind", "socket address"]);
    check(&format!("[rtp]\nports = [20001, 20002]\n{AGENT}"), &[], &["line 2", "ports", "even"]);
    check(&format!("[calls]\nmax = 5000\n{AGENT}"), &[], &["ports", "room for 500"]);
    check(&format!("[sip]\nbind = \"0.0.0.0:5060\"\n{AGENT}"), &[], &["line 2", "advertised"]);
    check(&format!("[turn]\ndraft_ms = 500\n{AGENT}"), &[], &["line 1", "turn", "finished_ms"]);
    check("", &[], &["agent"]);
    let llm = |url: &str| format!("[llm]\nurl = \"{url}\"\nmodel = \"m\"\n{AGENT}");
    check(&llm("https://llm.example/v1"), &[], &["line 2", "url", "remote = true"]);
    check(&llm("http://127.0.0.1.example/v1"), &[], &["remote = true"]);
    assert!(parse(&llm("http://localhost:11434/v1"), &[]).is_ok());
    check(AGENT, &[("DAUYS__SIP__BNID", "x")], &["DAUYS__SIP__BNID", "bnid", "bind"]);
    check(AGENT, &[("DAUYS__", "x")], &["DAUYS__SIP__BIND"]);
    check(AGENT, &[("DAUYS__CALLS__MAX", "many")], &["DAUYS__CALLS__MAX", "many"]);
}

#[test]
fn the_environment_wins_over_the_file() {
    let config = parse(
        &format!("[calls]\nmax = 7\n{AGENT}"),
        &[
            ("DAUYS__CALLS__MAX", "9"),
            ("DAUYS__SIP__BIND", "127.0.0.1:5070"),
            ("DAUYS__LLM__URL", "http://127.0.0.1:1/v1"),
            ("DAUYS__LLM__MODEL", "m"),
        ],
    )
    .expect("parses");
    assert_eq!(config.calls.max, 9);
    assert_eq!(config.sip.bind.port(), 5070);
    assert_eq!(config.agents[0].file, Path::new("configs/agents/a.toml"));
}

/// Appends an agent, and checks that the error names these.
fn refused(text: &str, wants: &[&str]) {
    check(&format!("{text}\n{AGENT}"), &[], wants);
}

fn good(text: &str) -> Config {
    parse(&format!("{text}\n{AGENT}"), &[]).unwrap_or_else(|e| panic!("{text}\n{e}"))
}

#[test]
fn where_sip_listens() {
    let config = good(
        "[sip]\nbind = \"192.0.2.1:5060\"\nalso = [\"[2001:db8::1]:5060\"]\ntcp = \"192.0.2.1:5060\"\n\
         tls = \"192.0.2.1:5061\"\nws = \"127.0.0.1:8088\"\ncert = \"c.pem\"\nkey = \"/etc/k.pem\"",
    );
    let text = |p: ::sip::Peer| format!("{} {}", p.transport.as_str(), p.address);
    let listeners: Vec<String> = config.sip.listeners().into_iter().map(text).collect();
    let expected = "UDP 192.0.2.1:5060, UDP [2001:db8::1]:5060, TCP 192.0.2.1:5060, TLS 192.0.2.1:5061, \
                    WS 127.0.0.1:8088";
    assert_eq!(listeners.join(", "), expected);
    assert_eq!(config.sip.cert.as_deref(), Some(Path::new("configs/c.pem")));
    assert_eq!(config.sip.key.as_deref(), Some(Path::new("/etc/k.pem")));
    let mut sip = good("[sip]\nbind = \"127.0.0.1:5060\"\ntcp = \"127.0.0.1:5070\"").sip;
    sip.publish("2001:db8::2".parse().unwrap());
    assert_eq!((sip.bind.to_string(), sip.tcp.unwrap().to_string()), ("[::]:5060".into(), "[::]:5070".into()));
    assert_eq!(sip.advertised, Some("2001:db8::2".parse().unwrap()));
}

#[test]
fn impossible_sip_sections() {
    let sip = |keys: &str, wants: &[&str]| refused(&format!("[http]\nbind = \"127.0.0.1:1\"\n[sip]\n{keys}"), wants);
    sip("bind = \"0.0.0.0:5060\"", &["line 4", "`bind`", "`advertised`"]);
    sip("tcp = \"0.0.0.0:5060\"", &["line 4", "`tcp`", "`advertised`"]);
    sip("advertised = \"192.0.2.1\"\nalso = [\"[::]:5060\"]", &["line 5", "`also`", "wildcard"]);
    sip("also = [\"127.0.0.1:5060\"]", &["line 4", "`also`", "127.0.0.1:5060 twice"]);
    sip("tcp = \"127.0.0.1:5060\"\nws = \"127.0.0.1:5060\"", &["line 5", "`ws`", "the address of `tcp`"]);
    sip("tls = \"127.0.0.1:5061\"", &["line 4", "`tls`", "`cert` and `key`"]);
    sip("wss = \"127.0.0.1:443\"\ncert = \"c\"", &["line 5", "`cert`", "needs `key`"]);
    sip("key = \"k\"", &["line 4", "`key`", "needs `cert`"]);
    sip("cert = \"c\"\nkey = \"k\"", &["line 4", "`cert`", "`tls` or `wss`"]);
    sip("client_ca = \"c\"", &["`client_ca`", "`tls` or `wss`"]);
    sip("client_required = true", &["`client_required`", "`client_ca`"]);
    sip("client_cert = \"c\"", &["`client_cert`", "`client_key`"]);
    sip("client_key = \"c\"", &["`client_key`", "`client_cert`"]);
    sip("ws_origins = [\"https://a.test\"]", &["`ws_origins`", "`ws` or `wss`"]);
    sip("strangers = \"ignore\"", &["line 4", "answer", "refuse"]);
    sip("strangers = \"refuse\"", &["line 4", "`strangers`", "[[trunk]]"]);
    sip("realm = \"\"", &["`realm`", "64"]);
    sip("per_source_per_s = 200", &["line 3", "`burst`", "200"]);
    sip("ban_s = 100000", &["`ban_s`", "86400"]);
    sip("session_expires_s = 60", &["`session_expires_s`", "90"]);
    sip("nameserver = \"9.9.9.9\"", &["line 4", "nameserver"]);
}

#[test]
fn media() {
    let rtp = |keys: &str, wants: &[&str]| refused(&format!("[rtp]\n{keys}"), wants);
    rtp("codecs = []", &["line 2", "`codecs`", "opus"]);
    rtp("codecs = [\"opus\", \"pcmu\", \"opus\"]", &["line 2", "`codecs`", "twice"]);
    rtp("codecs = [\"g729\"]", &["line 2", "g729", "opus", "g722", "pcma", "pcmu"]);
    rtp("opus_bitrate = 500", &["line 2", "`opus_bitrate`", "6000 to 64000"]);
    rtp("srtp = \"mandatory\"", &["line 2", "mandatory", "off", "optional", "required"]);
    rtp("sdes_over_plain = true", &["line 2", "`sdes_over_plain`", "required"]);
    rtp("ice = \"lite\"", &["line 2", "ice"]);
    refused("[vad]\ngate = 1", &["line 2", "gate"]);
    refused("[calls]\nturn_late_ms_max = 20000", &["line 2", "`turn_late_ms_max`", "10000"]);
    refused("[calls]\nbusy = \"486\"", &["line 2", "486", "503", "clip"]);
    refused(&format!("{TRUNK}codecs = []"), &["line 4", "`codecs`"]);
    refused(&format!("{TRUNK}srtp = true"), &["line 4", "srtp"]);
    let all = [Codec::Opus, Codec::G722, Codec::Pcma, Codec::Pcmu];
    let config = good(&format!("{TRUNK}codecs = [\"pcma\"]\n"));
    assert_eq!(config.media_of(None), (all.as_slice(), Srtp::Optional));
    assert_eq!(config.media_of(Some("a")), ([Codec::Pcma].as_slice(), Srtp::Optional));
    let register = "[[register]]\nname = \"b\"\nregistrar = \"sip:pbx.test\"\nuser = \"1\"\npassword_env = \"P\"\n";
    let rtp = "[rtp]\nsrtp = \"off\"\nsdes_over_plain = true\ncodecs = [\"pcmu\"]\n";
    let config = good(&format!("{rtp}{TRUNK}srtp = \"required\"\n{register}codecs = [\"g722\", \"pcmu\"]"));
    assert_eq!(config.media_of(Some("a")), ([Codec::Pcmu].as_slice(), Srtp::Required));
    assert_eq!(config.media_of(Some("b")), ([Codec::G722, Codec::Pcmu].as_slice(), Srtp::Off));
}

const TRUNK: &str = "[[trunk]]\nname = \"a\"\naddresses = \"192.0.2.0/24\"\n";

#[test]
fn strangers_are_refused_where_trunks_are_awaited() {
    let of = |text: &str| good(text).strangers();
    let public = "[sip]\nbind = \"192.0.2.1:5060\"\n";
    assert_eq!(of(""), Strangers::Answer);
    assert_eq!(of(public), Strangers::Answer);
    assert_eq!(of(TRUNK), Strangers::Answer, "loopback");
    assert_eq!(of(&format!("{public}{TRUNK}")), Strangers::Refuse);
    assert_eq!(of(&format!("{public}strangers = \"answer\"\n{TRUNK}")), Strangers::Answer);
    assert_eq!(of(&format!("[sip]\nstrangers = \"refuse\"\n{TRUNK}")), Strangers::Refuse);
    assert_eq!(of(&format!("[sip]\ntcp = \"192.0.2.1:5060\"\n{TRUNK}")), Strangers::Refuse, "one door is open");
}

#[test]
fn a_trunk_with_everything() {
    let config = good(
        "[sip]\ntls = \"127.0.0.1:5061\"\ncert = \"c\"\nkey = \"k\"\nclient_ca = \"ca\"\n[[trunk]]\nname = \"carrier\"\n\
         addresses = [\"192.0.2.0/24\", \"2001:db8::/32\"]\ntls_names = [\"sbc.carrier.test\"]\nuser = \"u\"\n\
         password_file = \"secret\"\nrealm = \"carrier.test\"\ndigest_in = true\nallow_md5 = false\ncalls_max = 20\n\
         calls_per_s = 5\nto = [\"sip:a.carrier.test;transport=tls\", \"sip:192.0.2.9:5070\"]\nfrom_user = \"+12125550100\"\n\
         from_domain = \"carrier.test\"\nallow_out = [\"+7\", \"+1212*\"]\nout_calls_max = 2\nout_calls_per_min = 3\n\
         out_calls_per_day = 4\noptions_s = 0\ncaller_id = \"+12125550100\"",
    );
    let trunk = &config.trunks[0];
    assert_eq!(trunk.password(), Some(Password::File("configs/secret".into())));
    assert_eq!(trunk.to[0].uri_of("+7701"), "sip:+7701@a.carrier.test;transport=tls");
    assert_eq!((trunk.out_calls_max, trunk.options_s, trunk.allow_md5), (2, 0, false));
    assert!(trunk.allow_out.iter().any(|p| p.allows("+12125550100")));
    assert_eq!(format!("{trunk:?}"), "Trunk { name: \"carrier\", .. }");
    let plain = &good(TRUNK).trunks[0];
    assert_eq!((plain.out_calls_max, plain.out_calls_per_min, plain.out_calls_per_day), (4, 10, 200));
    assert_eq!((plain.options_s, plain.allow_md5, plain.digest_in), (30, true, false));
}

#[test]
fn impossible_trunks() {
    let first = "[[trunk]]\nname = \"first\"\naddresses = \"192.0.2.7\"\n";
    let trunk = |keys: &str, wants: &[&str]| refused(&format!("{first}[[trunk]]\nname = \"a\"\n{keys}"), wants);
    trunk("", &["line 4", "`trunk`", "`addresses`", "`to`"]);
    trunk("adresses = []", &["line 6", "adresses", "addresses"]);
    trunk("addresses = \"192.0.2.7/24\"", &["line 6", "not 192.0.2.7/24"]);
    trunk("addresses = [\"nonsense\"]", &["line 6", "192.0.2.0/24"]);
    trunk("addresses = 5", &["line 6", "a text or a list of texts"]);
    trunk("addresses = \"0.0.0.0/0\"", &["line 6", "everybody", "digest_in"]);
    trunk("addresses = [\"198.51.100.1\", \"192.0.2.7\"]", &["line 6", "`addresses`", "`first`"]);
    trunk("tls_names = \"sbc.test\"", &["line 6", "`tls_names`", "client_ca"]);
    trunk("digest_in = true", &["line 6", "`digest_in`", "`user`"]);
    trunk("user = \"u\"\nto = \"sip:a.test\"", &["line 6", "`user`", "`password_env` or `password_file`"]);
    trunk("password_env = \"P\"\nto = \"sip:a.test\"", &["line 6", "`password_env`", "`user`"]);
    let both = "user = \"u\"\npassword_env = \"P\"\npassword_file = \"p\"\nto = \"sip:a.test\"";
    trunk(both, &["line 8", "`password_file`", "`password_env`"]);
    trunk("user = \"u\"\npassword = \"secret\"", &["line 7", "password_env", "password_file"]);
    trunk("user = \"u\"\npassword_env = \"hunter2\"\nto = \"sip:a.test\"", &["line 7", "capitals"]);
    trunk("realm = \"r\"\nto = \"sip:a.test\"", &["line 6", "`realm`", "`user`"]);
    trunk("to = \"a.test\"", &["line 6", "sip:HOST"]);
    trunk("to = [\"sip:a.test\", \"sip:you@a.test\"]", &["line 6", "no user"]);
    trunk("to = \"sip:a.test\"\nallow_out = \"+7;x\"", &["line 7", "+1212*"]);
    trunk("addresses = \"198.51.100.1\"\nallow_out = \"+7\"", &["line 7", "`allow_out`", "`to`"]);
    trunk("to = \"sip:a.test\"\nout_calls_max = 0", &["line 7", "`out_calls_max`", "1 to 10000"]);
    trunk("to = \"sip:a.test\"\nout_calls_per_day = 1000000", &["line 7", "`out_calls_per_day`", "100000"]);
    trunk("to = \"sip:a.test\"\ncalls_max = 0", &["line 7", "`calls_max`"]);
    trunk("to = \"sip:a.test\"\noptions_s = 1", &["line 7", "`options_s`", "5 to 3600"]);
    trunk("to = \"sip:a.test\"\ncaller_id = \"sip:a@b\"", &["line 7", "`caller_id`", "no address"]);
    trunk("to = \"sip:a.test\"\nfrom_domain = \"a.test;x\"", &["line 7", "`from_domain`", "host"]);
    refused(&format!("{TRUNK}[[trunk]]\nname = \"a\"\nto = \"sip:b.test\""), &["line 5", "`name`", "second time"]);
    refused("[[trunk]]\nname = \"a b\"\nto = \"sip:b.test\"", &["line 2", "`name`", "letters"]);
}

#[test]
fn registrations() {
    let text = "[[register]]\nname = \"pbx\"\nregistrar = \"sip:pbx.test\"\nuser = \"101\"\npassword_env = \"P\"\n";
    let config = good(text);
    let register = &config.registers[0];
    assert_eq!((register.expires_s, register.password()), (300, Some(Password::Env("P".into()))));
    assert_eq!(format!("{register:?}"), "Register { name: \"pbx\", .. }");
    refused(&text.replace("password_env = \"P\"\n", ""), &["line 1", "`register`", "password_file"]);
    refused(&text.replace("101", ""), &["line 4", "`user`"]);
    refused(&text.replace("sip:pbx", "sip:101@pbx"), &["line 3", "no user"]);
    refused(&format!("{text}expires_s = 5"), &["line 6", "`expires_s`", "60"]);
    refused(&format!("{text}{}", TRUNK.replace("\"a\"", "\"pbx\"")), &["line 2", "`name`", "second time"]);
}

#[test]
fn routes() {
    let text = format!(
        "{TRUNK}[[route]]\ntrunk = \"a\"\ncalled = [\"+7701*\", \"101\"]\nagent = \"a\"\n[route.header]\nX-Queue = \"sales*\"\n\
         [[route]]\ncaller = \"anonymous\"\nreject = 603"
    );
    let config = good(&text);
    assert_eq!(config.routes.len(), 2);
    assert_eq!(config.routes[1].reject, Some(603));
    let route = |keys: &str, wants: &[&str]| refused(&format!("{TRUNK}[[route]]\n{keys}"), wants);
    route("", &["line 4", "`route`", "`agent` or `reject`"]);
    route("agent = \"a\"\nreject = 603", &["line 6", "`reject`", "`agent`"]);
    route("reject = 200", &["line 5", "`reject`", "400 to 699"]);
    route("agent = \"b\"", &["line 5", "`b`", "files are a"]);
    route("trunk = \"b\"\nagent = \"a\"", &["line 5", "`b`", "[[register]]: a"]);
    route("called = \"+7*1\"\nagent = \"a\"", &["line 5", "at the end"]);
    route("header = { \"X A\" = \"b\" }\nagent = \"a\"", &["line 5", "header name"]);
    route("agent = \"a\"\n[[route]]\ncalled = \"1\"\nagent = \"a\"", &["line 6", "never reached"]);
    route("called = \"1\"\nagent = \"a\"\n[[route]]\ncalled = \"1\"\nreject = 603", &["line 7", "never reached"]);
    let twins = "[[agent]]\nfile = \"x/a.toml\"\n[[route]]\nagent = \"a\"\n";
    refused(twins, &["line 4", "two [[agent]] files"]);
    good("[[agent]]\nfile = \"agents/a.toml\"\nnumbers = [\"1\"]\n[[route]]\nagent = \"a\"\n");
}

#[test]
fn a_password_is_read_where_it_is_kept() {
    let dir = std::env::temp_dir().join(format!("dauys-password-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = |text: &str| {
        let path = dir.join("secret");
        std::fs::write(&path, text).unwrap();
        Password::File(path).read().map(sip_secret).map_err(|e| e.to_string())
    };
    assert_eq!(file("hunter2\n").unwrap(), "hunter2");
    assert_eq!(file(" a b \r\n").unwrap(), " a b ");
    for text in ["", "\n", "two\nlines\n", &"x".repeat(1025)] {
        let error = file(text).unwrap_err();
        assert!(error.contains("secret") && !error.contains("lines\n"), "{error}");
    }
    std::fs::remove_dir_all(&dir).unwrap();
    let missing = Password::File("/nowhere/secret".into()).read().unwrap_err().to_string();
    assert!(missing.contains("/nowhere/secret"), "{missing}");
    let unset = Password::Env("DAUYS_TEST_UNSET".into()).read().unwrap_err().to_string();
    assert!(unset.contains("DAUYS_TEST_UNSET is not set"), "{unset}");
    assert!(Password::Env("PATH".into()).read().is_ok());
}

fn sip_secret(secret: ::sip::Private<String>) -> String {
    secret.into_inner()
}
