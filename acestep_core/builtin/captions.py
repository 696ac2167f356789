"""Captions as people write them, and what they ask for: never used in training.

Columns: styles that would do, bpm, key, drums (+ or -), lead (+ or -); a dot where the caption leaves it open.
"""

from __future__ import annotations

from dataclasses import dataclass

TABLE = """
pop            | .   | .        | . | . | a catchy pop song about summer love with a big chorus
pop            | 96  | .        | . | . | korean ballad, emotional female vocals, 96 bpm
pop            | .   | .        | + | . | hip hop beat with drums, smooth and chill vibe
pop            | .   | D minor  | . | . | trap beat in D minor, dark and heavy
pop            | .   | .        | . | . | soulful r&b track with male vocals
pop            | 118 | G major  | . | . | k-pop dance song, bright, 118 bpm, G major
pop            | .   | .        | - | . | a tender love song without drums
pop            | .   | .        | . | - | instrumental pop backing track, no melody
rock           | 140 | .        | . | . | punk rock at 140 bpm, fast and angry
rock           | .   | E minor  | . | . | heavy metal with distorted guitar, in E minor
rock           | .   | .        | + | + | classic rock anthem with drums and lead melody
rock           | .   | .        | . | . | grunge, raw, garage recording, male vocals
rock           | 100 | .        | . | . | indie rock song about a road trip, tempo 100
rock           | .   | A major  | . | . | arena rock with guitar solo, A major
rock           | .   | .        | . | . | shoegaze, dreamy, walls of electric guitar
electronic     | 128 | .        | . | . | deep house, 128 bpm, club
electronic     | 138 | A minor  | . | . | uplifting trance in A minor at 138 bpm
electronic     | .   | .        | . | . | retro synthwave with analog synth and a night drive mood
electronic     | .   | .        | + | . | dubstep drop, massive sub bass, drum beat
electronic     | .   | .        | . | . | chiptune music for a video game
electronic     | 150 | .        | . | . | Hard Techno, 150 BPM, dark warehouse rave
electronic     | .   | F minor  | . | . | drum and bass in F minor, energetic
electronic     | .   | .        | . | - | minimal techno, hypnotic, no lead
jazz           | .   | .        | . | . | smooth jazz with saxophone for a late night bar
jazz           | 120 | Bb major | . | . | swing big band, Bb major, 120 bpm
jazz           | .   | .        | . | . | Bossa nova, relaxed, with acoustic bass
jazz           | .   | .        | - | . | slow blues in a smoky bar, no drums
jazz           | 90  | .        | . | + | jazz trio at 90 bpm with melody
jazz           | .   | .        | . | . | bebop with a fast walking bass and trumpet
jazz           | .   | C major  | . | . | cheerful ragtime in C major
folk           | .   | .        | . | . | acoustic folk song with fingerpicked guitar
folk           | 84  | .        | . | . | country ballad, steel guitar, 84 bpm
folk           | .   | D major  | . | . | irish folk with fiddle in D major
folk           | .   | .        | - | + | gentle lullaby with melody, no percussion
folk           | .   | .        | . | . | campfire singer-songwriter, warm male vocals
folk           | .   | .        | + | . | bluegrass with banjo and drums
funk           | .   | .        | . | . | funky groove with slap bass and horns
funk           | 116 | .        | . | . | disco, 70s, 116 bpm, strings
funk           | .   | .        | . | . | reggae with a laid-back groove
funk           | 104 | E minor  | . | . | funk in E minor at 104 bpm, tight
funk           | .   | .        | . | - | afrobeat backing track with brass section
ambient        | .   | .        | . | . | ambient soundscape for meditation, slowly evolving
ambient        | .   | C major  | - | - | space ambient in C major, without drums, no melody
ambient        | 60  | .        | . | . | drone, dark, 60 bpm
ambient        | .   | .        | . | . | calm lofi beats for studying, rainy night
ambient        | .   | .        | . | . | ethereal pads, healing, sleep music
classical      | 80  | A minor  | . | . | calm piano in A minor, 80 bpm
classical      | .   | .        | . | . | epic orchestral film score with choir
classical      | .   | .        | . | + | string quartet, romantic, with melody
classical      | 72  | F# minor | . | . | sad violin piece in F# minor, bpm 72
classical      | .   | .        | - | . | solo piano nocturne, no drums
classical      | .   | D major  | . | . | baroque concerto with harpsichord, D major
ambient        | .   | .        | . | . | 잔잔한 앰비언트, 명상 음악
classical      | 90  | .        | . | . | 슬픈 피아노 발라드 90 bpm
rock           | .   | .        | . | . | 강렬한 락 밴드 음악
electronic     | 130 | .        | . | . | 신나는 일렉트로닉 댄스 음악, 130 bpm
jazz           | .   | .        | . | . | 편안한 재즈 카페 음악
folk           | .   | .        | - | . | 따뜻한 어쿠스틱 기타, 드럼 없이
pop            | .   | .        | . | . | 밝은 케이팝 노래, 여성 보컬
classical      | .   | .        | . | . | 轻柔的钢琴曲
folk           | .   | .        | . | . | 温暖的民谣，木吉他
electronic     | 128 | .        | . | . | 动感的电子舞曲 128 bpm
jazz           | .   | .        | . | . | 浪漫的爵士乐，萨克斯
rock           | .   | .        | + | . | 激烈的摇滚，带鼓
ambient        | .   | .        | . | . | 冥想，氛围音乐，宁静
pop classical  | .   | .        | . | . | emotional piano ballad with strings and female vocals
funk electronic| .   | .        | . | . | groovy nu disco house
pop rock       | .   | .        | . | . | pop punk, teenage, upbeat, catchy
folk classical | .   | .        | . | . | spanish guitar and cello duet
ambient electronic | . | .       | . | . | chillout electronica with soft pads
"""


@dataclass(frozen=True)
class Caption:
    """A caption, the styles that would do, and what else it says; None where it says nothing."""

    text: str
    styles: tuple[str, ...]
    bpm: int | None
    key: str | None
    drums: bool | None
    lead: bool | None


def _row(line: str) -> Caption:
    styles, bpm, key, drums, lead, text = (cell.strip() for cell in line.split("|"))
    said = {"+": True, "-": False, ".": None}
    tempo, name = None if bpm == "." else int(bpm), None if key == "." else key
    return Caption(text, tuple(styles.split()), tempo, name, said[drums], said[lead])


CAPTIONS = tuple(_row(line) for line in TABLE.strip().splitlines())
