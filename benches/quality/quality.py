#!/usr/bin/env python3
"""Speech quality of the receive road: PESQ (ITU-T P.862, narrow band) of recordings through lost and late packets.

Usage: quality.py [--quick]   writes benches/results/quality.json and docs/quality.svg; takes some five minutes.

Wants: python packages pesq and numpy (it makes itself an environment in ~/.cache/dauys/quality), Debian's
asterisk-core-sounds-en-wav, -ru-wav, -it-wav and -fr-wav for more voices, and libspandsp-dev to measure spandsp, too.
All recordings are narrow band, so that nothing is said here about wide band speech. All receivers get the same packets;
nothing is played to anybody.
"""
import glob, json, os, platform, subprocess, sys, wave
from concurrent.futures import ProcessPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CACHE = os.path.expanduser("~/.cache/dauys/quality")
WORK = os.path.join(CACHE, "run")
SOUNDS = "/usr/share/asterisk/sounds"

# Share lost, frames in a row on average (1: at random).
LOSSES = [(0.0, 1), (0.01, 1), (0.03, 1), (0.05, 1), (0.10, 1), (0.01, 3), (0.03, 3), (0.05, 3), (0.10, 3)]
JITTERS_MS = [20, 40, 80]
# So many patterns of loss or jitter for each voice.
PATTERNS = 2

# What is measured: receiver, codec, and its name in the results.
RECEIVERS = {
    ("dauys", "PCMA"): "dauys",
    ("dauys", "opus"): "dauys, Opus",
    ("repeat", "PCMA"): "repeat",
    ("spandsp", "PCMA"): "spandsp",
}
ABOUT = {
    "dauys": "a leg over G.711: adaptive delay (target 40 ms at the start, then what the network asks for, 10 ms at least), "
    "concealment by pitch",
    "dauys, Opus": "the same over Opus, with the redundancy that its encoder adds when it hears of losses",
    "repeat": "G.711, a fixed delay of 60 ms, the last 20 ms again and again for what is not there then",
    "spandsp": "G.711, a fixed delay of 60 ms, plc_fillin for what is not there then",
}


def environment():
    """Runs on in an environment that has what is wanted."""
    try:
        import numpy, pesq  # noqa: F401
    except ImportError:
        python = os.path.join(CACHE, "venv/bin/python")
        if os.path.abspath(sys.prefix) == os.path.join(CACHE, "venv"):
            sys.exit("pesq and numpy cannot be had")
        subprocess.run(["python3", "-m", "venv", os.path.join(CACHE, "venv")], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "numpy==2.4.6", "pesq==0.0.4"], check=True)
        os.execv(python, [python] + sys.argv)


def read(path):
    import numpy as np

    with wave.open(path) as w:
        return w.getframerate(), np.frombuffer(w.readframes(w.getnframes()), dtype="<i2").astype(float)


def write(path, samples, rate=8000):
    with wave.open(path, "wb") as w:
        w.setnchannels(1), w.setsampwidth(2), w.setframerate(rate)
        w.writeframes(samples.round().clip(-32768, 32767).astype("<i2").tobytes())


def speech(quick):
    """Some ten seconds of each voice at 8 kHz, equally loud."""
    import numpy as np

    # The constants of the concealment were chosen on other recordings and other patterns of loss, by other speakers
    # for all but Allison, Carlo and the Russian voice.
    sets = {v: sorted(glob.glob(f"{ROOT}/tests/data/callers/*.{v}.wav")) for v in ("am_michael", "bf_emma")}
    for name, folder, first in (
        ("en_allison", "en_US_f_Allison", 260),
        ("ru_ivrvoice", "ru_RU_f_IvrvoiceRU", 250),
        ("it_carlo", "it_IT_m_Carlo", 200),
        ("fr_june", "fr_CA_f_June", 100),
    ):
        files = sorted(glob.glob(f"{SOUNDS}/{folder}/*.wav"))
        if files:
            sets[name] = files[first:]
    voices = []
    for name, files in list(sets.items())[: 3 if quick else None]:
        parts, seconds = [np.zeros(1600)], 0
        for file in files:
            rate, x = read(file)
            if rate != 8000 or not 1.2 < len(x) / 8000 < 6 or seconds > 8:
                continue
            parts += [(x * 2200 / np.sqrt(np.mean(x[abs(x) > 200] ** 2))).clip(-32000, 32000), np.zeros(2400)]
            seconds += len(x) / 8000 + 0.3
        x = np.concatenate(parts)
        path = f"{WORK}/{name}.wav"
        write(path, x[: len(x) // 160 * 160])
        voices.append((name, path, len(x) // 160))
    return voices


def network(path, packets, seed, loss=0.0, burst=1, jitter_ms=0):
    """A line for each packet: its delay in ms, `-` for lost."""
    import numpy as np

    random = np.random.default_rng(seed)
    lost, lines = False, []
    for _ in range(packets):
        # Gilbert's channel: bursts of `burst` on average; with 1, every packet for itself.
        if burst == 1:
            lost = random.random() < loss
        else:
            lost = random.random() >= 1 / burst if lost else random.random() < loss / burst / (1 - loss)
        delay = int(random.integers(0, jitter_ms + 1)) if jitter_ms else 0
        lines.append("-" if lost else str(delay))
    open(path, "w").write("\n".join(lines) + "\n")


def wide(x):
    """8 kHz to 16 kHz by the spectrum."""
    import numpy as np

    spectrum = np.fft.rfft(x)
    spectrum[-1] /= 2
    return np.fft.irfft(np.concatenate([spectrum, np.zeros(len(x) // 2)]), 2 * len(x)) * 2


def score(job):
    """PESQ of what was heard, brought in step with what was said."""
    import numpy as np
    from pesq import pesq

    said, heard = job
    _, x = read(said)
    rate, y = read(heard)
    x, y = wide(x), wide(y[: len(y) // 2 * 2]) if rate == 8000 else y
    n = 1 << (len(x) + len(y)).bit_length()
    likeness = np.fft.irfft(np.fft.rfft(y, n) * np.conj(np.fft.rfft(x, n)), n)
    delay = int(np.argmax(likeness[: 16000]))
    y = np.concatenate([y[delay:], np.zeros(16000)])[: len(x)]
    return float(pesq(16000, x.astype(np.int16), y.clip(-32768, 32767).astype(np.int16), "nb"))


def build_spandsp():
    binary = f"{CACHE}/spandsp_plc"
    built = subprocess.run(["cc", "-O2", "-o", binary, f"{HERE}/spandsp_plc.c", "-lspandsp", "-ltiff", "-lm"], capture_output=True)
    return binary if built.returncode == 0 else None


def runs(voices, quick):
    """Everything that is to be heard: (receiver, codec, condition, voice, said, network, heard)."""
    conditions = [(f"loss {int(p * 100)} %" + (" in bursts" if b > 1 else ""), dict(loss=p, burst=b)) for p, b in LOSSES]
    conditions += [(f"jitter {j} ms", dict(jitter_ms=j)) for j in JITTERS_MS]
    found = []
    for c, (condition, how) in enumerate(conditions[:: 4 if quick else 1]):
        for v, (voice, said, packets) in enumerate(voices):
            for pattern in range(PATTERNS if how.get("loss") != 0.0 else 1):
                path = f"{WORK}/{c}.{voice}.{pattern}"
                network(path + ".net", packets, 100_000 * pattern + 1000 * c + v, **how)
                for receiver, codec in RECEIVERS:
                    found.append((receiver, codec, condition, voice, said, path + ".net", f"{path}.{receiver}.{codec}.wav"))
    return found


def hear(found):
    """Runs the receivers; returns those that cannot be had."""
    lines = [f"{codec} {'leg' if r == 'dauys' else r} {net} {said} {heard}" for r, codec, _, _, said, net, heard in found if r in ("dauys", "repeat")]
    open(f"{WORK}/jobs", "w").write("\n".join(lines))
    subprocess.run(["cargo", "bench", "-q", "-p", "dauys-media", "--bench", "receive_road", "--", f"{WORK}/jobs"], cwd=ROOT, check=True, stderr=open(f"{WORK}/stats.txt", "w"))
    spandsp = build_spandsp()
    if not spandsp:
        return ["spandsp"]
    for r, _, _, _, said, net, heard in found:
        if r == "spandsp":
            subprocess.run([spandsp, said, net, heard], check=True)
    return []


def machine():
    model = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    return f"{model[0] if model else platform.processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"


COLOURS = {"dauys": "#0b6e4f", "dauys, Opus": "#c8553d", "spandsp": "#4a6fa5", "repeat": "#8a8a8a"}
LEGEND = {"dauys": "Dauys", "dauys, Opus": "Dauys, Opus", "spandsp": "spandsp", "repeat": "repetition"}


def plot(rows):
    """Three charts side by side: random loss, loss in bursts, jitter. Hand-written, so that nothing is needed to draw it."""
    charts = [
        ("random loss, %", [("loss %d %%" % round(p * 100), round(p * 100)) for p, b in LOSSES if b == 1]),
        ("loss in bursts of 60 ms, %", [("loss 0 %", 0)] + [("loss %d %% in bursts" % round(p * 100), round(p * 100)) for p, b in LOSSES if b > 1]),
        ("jitter, ms", [("loss 0 %", 0)] + [(f"jitter {j} ms", j) for j in JITTERS_MS]),
    ]
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -16 960 346" font-family="sans-serif" font-size="12">', '<rect y="-16" width="960" height="346" fill="#fff"/>']
    y = lambda score: 270 - (score - 1) * 62
    for i, (title, points) in enumerate(charts):
        left = 50 + i * 310
        x = lambda value: left + 250 * value / points[-1][1]
        for score in range(1, 6):
            out.append(f'<line x1="{left}" x2="{left + 250}" y1="{y(score):.0f}" y2="{y(score):.0f}" stroke="#ddd"/><text x="{left - 16}" y="{y(score) + 4:.0f}">{score}</text>')
        for _, value in points:
            out.append(f'<text x="{x(value):.0f}" y="288" text-anchor="middle">{value}</text>')
        out.append(f'<text x="{left + 125}" y="308" text-anchor="middle">{title}</text>')
        for receiver, colour in COLOURS.items():
            line = [(x(value), y(rows[c][receiver])) for c, value in points if receiver in rows.get(c, {})]
            out.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in line)}"/>')
            out += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in line]
    for i, (receiver, colour) in enumerate(COLOURS.items()):
        out.append(f'<rect x="{500 + 110 * i}" y="-8" width="10" height="10" fill="{colour}"/><text x="{515 + 110 * i}" y="1">{LEGEND[receiver]}</text>')
    out.append('<text x="34" y="1">PESQ (P.862, narrow band), mean of all voices; G.711 unless named</text>')
    out.append('<text x="14" y="146" text-anchor="middle" transform="rotate(-90 14 146)">MOS-LQO</text></svg>')
    open(f"{ROOT}/docs/quality.svg", "w").write("\n".join(out) + "\n")


def main():
    environment()
    quick = "--quick" in sys.argv
    os.makedirs(WORK, exist_ok=True)
    voices = speech(quick)
    found = runs(voices, quick)
    missing = hear(found)
    found = [run for run in found if run[0] not in missing]
    with ProcessPoolExecutor() as pool:
        scores = list(pool.map(score, [(said, heard) for _, _, _, _, said, _, heard in found], chunksize=4))
    rows, raw = {}, []
    for (receiver, codec, condition, voice, *_), pesq in zip(found, scores):
        raw.append({"receiver": receiver, "codec": codec, "condition": condition, "voice": voice, "pesq": round(pesq, 3)})
        rows.setdefault(condition, {}).setdefault(RECEIVERS[receiver, codec], []).append(pesq)
    rows = {c: {r: round(sum(v) / len(v), 3) for r, v in by.items()} for c, by in rows.items()}
    for condition, by in rows.items():
        print(f"{condition:22}", "  ".join(f"{r} {s:.2f}" for r, s in by.items()))
    if not quick:
        about = {"measure": "PESQ (P.862) narrow band, MOS-LQO, mean over voices and patterns", "machine": machine(), "receivers": ABOUT, "missing": missing}
        with open(f"{ROOT}/benches/results/quality.json", "w") as out:
            json.dump({**about, "mean": rows, "runs": raw}, out, indent=1)
            out.write("\n")
        plot(rows)


if __name__ == "__main__":
    main()
