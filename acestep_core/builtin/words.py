"""The words that the built-in model understands, and what it takes them for.

A toy has eight styles; whatever else people call music is played in the nearest of them. Phrases are matched as they
stand; Korean and Chinese ones too.
"""

from __future__ import annotations


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(phrase for line in text.strip().splitlines() for part in line.split(",") if (phrase := part.strip()))


STYLE_WORDS: dict[str, tuple[str, ...]] = {
    "pop": _phrases("""
        pop, indie pop, synth pop, synthpop, dream pop, k-pop, kpop, j-pop, jpop, c-pop, mandopop, cantopop, city pop,
        britpop, power pop, bubblegum pop, teen pop, pop ballad, dance pop, electropop, art pop, chamber pop,
        bedroom pop, pop song, r&b, rnb, soul, neo soul, contemporary r&b, motown, gospel, ballad, power ballad,
        love song, christmas song, jingle, anthem, singer, boy band, girl group, radio hit, chart hit, musical,
        show tune, disney, schlager, chanson, bollywood, latin pop, reggaeton, hip hop, hip-hop, rap, trap, boom bap,
        lofi hip hop, drill, old school hip hop, cloud rap, phonk, dancehall, karaoke, soft pop, hyperpop,
        adult contemporary, opm, trot, enka, anime opening, summer hit, catchy chorus, synth lead pop
        """),
    "rock": _phrases("""
        rock, hard rock, punk, punk rock, pop punk, metal, heavy metal, death metal, black metal, thrash metal,
        metalcore, grunge, indie rock, alternative rock, alt rock, garage rock, classic rock, rock and roll,
        rock'n'roll, rockabilly, surf rock, psychedelic rock, progressive rock, prog rock, post rock, post-rock,
        stoner rock, southern rock, blues rock, arena rock, glam rock, emo, hardcore, post punk, shoegaze, math rock,
        noise rock, nu metal, power metal, doom metal, symphonic metal, distorted guitar, electric guitar,
        overdriven guitars, guitar riff, power chords, guitar solo, rock band, stadium rock, screaming vocals,
        hair metal, industrial metal, krautrock, britrock, j-rock, jrock, guitar driven, crunchy guitars
        """),
    "electronic": _phrases("""
        electronic, edm, techno, house, deep house, tech house, progressive house, trance, psytrance, dubstep,
        drum and bass, drum'n'bass, dnb, jungle, breakbeat, electro, electro house, synthwave, retrowave, vaporwave,
        future bass, hardstyle, eurodance, eurobeat, dance, dance music, club, club music, rave, acid house,
        minimal techno, idm, glitch, chiptune, 8-bit, 8 bit, video game, video game music, arcade, bigroom, big room,
        uk garage, garage house, tropical house, trip hop, downtempo electronica, electronica, synthesizer, synth,
        synths, synth arpeggio, arpeggiator, four on the floor, drop, sub bass, industrial, ebm, darkwave, cyberpunk,
        gabber, happy hardcore, moombahton, bass music, nightcore, dj set, festival
        """),
    "jazz": _phrases("""
        jazz, smooth jazz, bebop, hard bop, cool jazz, swing, big band, dixieland, ragtime, gypsy jazz, jazz trio,
        jazz quartet, latin jazz, acid jazz, jazz fusion, fusion, bossa nova, bossa, samba, lounge, cocktail jazz,
        saxophone, sax, tenor sax, alto sax, trumpet, muted trumpet, trombone, clarinet, double bass, upright bass,
        walking bass, brushed drums, brushes, ride cymbal, vibraphone, scat, crooner, jazz piano, jazz club,
        jazz guitar, blues, slow blues, delta blues, jump blues, rhodes, hammond organ, noir, film noir, speakeasy,
        cafe jazz, coffee shop jazz, modal jazz, free jazz, rat pack, mambo
        """),
    "folk": _phrases("""
        folk, indie folk, folk rock ballad, country, americana, bluegrass, acoustic, acoustic guitar, fingerpicking,
        fingerpicked guitar, singer-songwriter, singer songwriter, campfire, banjo, mandolin, fiddle, ukulele,
        harmonica, accordion, celtic, irish, irish folk, scottish, bagpipes, sea shanty, shanty, nylon guitar,
        classical guitar, flamenco, spanish guitar, steel guitar, pedal steel, slide guitar, cowboy, western,
        medieval, renaissance, lute, tin whistle, polka, klezmer, balkan, world music, ethnic, traditional, lullaby,
        nursery rhyme, kids song, children's song, unplugged, skiffle, acoustic ballad, folk song, protest song,
        roots, hawaiian, calypso, mariachi, tango, waltz song, pan flute
        """),
    "funk": _phrases("""
        funk, funky, disco, nu disco, nu-disco, p-funk, funk rock, jazz funk, slap bass, slap, clavinet, wah guitar,
        groove, groovy, afrobeat, afrobeats, afro house, ska, reggae, roots reggae, dub, soul funk, funk soul, boogie,
        go-go, g-funk, new jack swing, electro funk, talkbox, horn section, brass section, horns, seventies, 70s,
        blaxploitation, salsa, merengue, cumbia, soca, highlife, rumba, latin funk, syncopated, tight rhythm guitar,
        funky bassline, motown groove, brass stabs, street dance, breakdance, party funk, future funk, filter house
        """),
    "ambient": _phrases("""
        ambient, drone, soundscape, soundscapes, meditation, meditative, new age, spa, sleep, sleep music, relaxation,
        yoga, healing, atmospheric, atmosphere, ethereal, dark ambient, space ambient, space music, cosmic, drifting,
        floating, pads, pad, synth pad, warm pads, evolving pads, textures, field recordings, nature sounds, rain,
        ocean waves, wind, forest, underwater, singing bowls, tibetan bowls, chillout, chill out, chill, lo-fi, lofi,
        lo-fi beats, lofi beats, study music, background music, deep focus, binaural, reverb drenched, beatless,
        weightless, hypnotic drone, psybient, sound bath, zen, stillness, minimal ambient, dreamscape, celestial,
        aurora, mist
        """),
    "classical": _phrases("""
        classical, classical music, orchestra, orchestral, symphony, symphonic, string quartet, strings, violin,
        viola, cello, piano, piano solo, solo piano, grand piano, piano ballad, piano piece, piano sonata, sonata,
        nocturne, etude, prelude, waltz, minuet, baroque, romantic era, chopin, bach, mozart, beethoven, debussy,
        impressionist, chamber music, harpsichord, pipe organ, organ, choir, choral, opera, aria, requiem, harp,
        flute, oboe, bassoon, french horn, timpani, celesta, music box, film score, soundtrack, cinematic,
        epic orchestral, trailer music, score, neoclassical, neo-classical, modern classical, minimalism, concerto,
        fugue, fantasy score, piano trio, ballet
        """),
}
"""What each style is called. Instruments stand where they are mostly heard."""

EASTERN_WORDS: dict[str, tuple[str, ...]] = {
    "pop": _phrases("""
        팝, 케이팝, 가요, 발라드, 댄스 팝, 인디 팝, 알앤비, 소울, 힙합, 랩, 트랩, 트로트, 시티팝, 아이돌, 사랑 노래,
        동요, 캐럴, 流行, 流行音乐, 流行歌曲, 抒情, 情歌, 民谣流行, 说唱, 嘻哈, 灵魂乐, 节奏布鲁斯, 偶像, 城市流行,
        华语流行, 国语流行, 粤语
        """),
    "rock": _phrases("""
        록, 락, 하드 록, 펑크 록, 메탈, 헤비메탈, 인디 록, 얼터너티브 록, 밴드, 일렉 기타, 일렉트릭 기타, 디스토션,
        摇滚, 硬摇滚, 重金属, 金属, 朋克, 独立摇滚, 另类摇滚, 电吉他, 乐队, 后摇, 失真吉他
        """),
    "electronic": _phrases("""
        일렉트로닉, 전자음악, 테크노, 하우스, 트랜스, 덥스텝, 신스웨이브, 신스, 신시사이저, 클럽, 댄스, 댄스 음악,
        게임 음악, 드럼 앤 베이스, 电子, 电子音乐, 电音, 舞曲, 浩室, 科技舞曲, 合成器, 夜店, 蒸汽波, 游戏音乐,
        鼓打贝斯, 迷幻舞曲
        """),
    "jazz": _phrases("""
        재즈, 스윙, 보사노바, 블루스, 색소폰, 트럼펫, 빅밴드, 재즈 피아노, 재즈 카페, 라운지, 爵士, 爵士乐, 爵士钢琴,
        摇摆乐, 波萨诺瓦, 蓝调, 布鲁斯, 萨克斯, 小号, 大乐队, 咖啡馆爵士
        """),
    "folk": _phrases("""
        포크, 컨트리, 어쿠스틱, 어쿠스틱 기타, 통기타, 우쿨렐레, 하모니카, 민요, 국악, 자장가, 블루그래스, 民谣, 乡村,
        乡村音乐, 原声, 木吉他, 原声吉他, 吉他弹唱, 口琴, 民歌, 摇篮曲, 尤克里里, 古风, 中国风
        """),
    "funk": _phrases("""
        펑크, 펑키, 훵크, 훵키, 디스코, 그루브, 레게, 스카, 슬랩 베이스, 브라스, 아프로비트, 살사, 放克, 迪斯科, 律动,
        雷鬼, 斯卡, 铜管, 非洲节拍, 萨尔萨
        """),
    "ambient": _phrases("""
        앰비언트, 명상, 수면, 힐링, 뉴에이지, 로파이, 빗소리, 파도 소리, 배경 음악, 공부할 때 듣는 음악, 몽환적인,
        요가, 휴식, 氛围, 氛围音乐, 冥想, 睡眠, 治愈, 新世纪, 低保真, 雨声, 海浪, 背景音乐, 学习音乐, 空灵, 瑜伽,
        放松
        """),
    "classical": _phrases("""
        클래식, 피아노, 피아노 솔로, 피아노 곡, 오케스트라, 교향곡, 현악, 현악 사중주, 바이올린, 첼로, 합창,
        영화 음악, 왈츠, 소나타, 하프, 古典, 古典音乐, 钢琴, 钢琴曲, 钢琴独奏, 管弦乐, 交响乐, 弦乐, 弦乐四重奏,
        小提琴, 大提琴, 合唱, 电影配乐, 配乐, 圆舞曲, 竖琴
        """),
}

MOOD_WORDS: dict[tuple[int, str], tuple[str, ...]] = {
    (-1, ""): _phrases("""
        calm, slow, gentle, soft, peaceful, quiet, relaxed, relaxing, mellow, soothing, tender, sleepy, laid-back,
        laid back, serene, tranquil, easy, delicate, slow-paced, slow tempo, lazy, intimate, downtempo, 잔잔한, 느린,
        부드러운, 평화로운, 조용한, 편안한, 차분한, 平静, 缓慢, 轻柔, 安静, 舒缓, 柔和, 宁静
        """),
    (1, ""): _phrases("""
        energetic, fast, driving, intense, powerful, aggressive, wild, hard-hitting, explosive, high energy,
        high-energy, epic, furious, frantic, up-tempo, uptempo, fast-paced, pumping, exciting, dynamic, heavy, 신나는,
        빠른, 강렬한, 에너지 넘치는, 폭발적인, 激烈, 快速, 有力, 激情, 动感, 充满活力
        """),
    (0, "minor"): _phrases("""
        sad, dark, melancholic, melancholy, moody, gloomy, mysterious, haunting, lonely, tragic, tense, somber,
        nostalgic, bitter, bittersweet, brooding, ominous, eerie, heartbroken, mournful, sorrowful, emotional, cold,
        슬픈, 어두운, 우울한, 쓸쓸한, 신비로운, 그리운, 외로운, 悲伤, 黑暗, 忧郁, 孤独, 神秘, 怀旧, 伤感
        """),
    (0, "major"): _phrases("""
        happy, bright, cheerful, joyful, warm, sunny, uplifting, hopeful, romantic, playful, sweet, triumphant,
        positive, cute, optimistic, heroic, carefree, summery, inspiring, feel-good, fun, light, 행복한, 밝은, 따뜻한,
        희망찬, 로맨틱한, 귀여운, 상쾌한, 快乐, 明亮, 温暖, 欢快, 浪漫, 希望, 可爱, 轻快
        """),
    (1, "major"): _phrases("""
        upbeat, festive, euphoric, celebratory, bouncy, party, 흥겨운, 경쾌한, 喜庆, 欢乐
        """),
    (-1, "minor"): _phrases("solemn, wistful, desolate, sombre, weary, 애절한, 凄凉, 哀伤"),
}
"""Moods, by what they do to the tempo where none is given (-1 slower, 1 faster), and the mode they lean to."""

WITH_DRUMS = _phrases(
    "with drums, drums, drum beat, strong beat, drum kit, percussion, steady drums, 드럼 있는, 드럼, 带鼓, 鼓点, 有鼓"
)
WITHOUT_DRUMS = _phrases(
    "without drums, no drums, drumless, no percussion, without percussion, 드럼 없이, 드럼 없는, 无鼓, 没有鼓"
)
WITH_LEAD = _phrases(
    "lead melody, with melody, with a lead melody, melodic lead, catchy melody, 멜로디, 멜로디 있는, 主旋律, 有旋律"
)
WITHOUT_LEAD = _phrases(
    "no melody, without melody, backing track, no lead, without lead, 멜로디 없이, 반주만, 无旋律, 伴奏"
)
FILLERS = _phrases("""
        song, track, music, instrumental, tune, piece, beat, vocals, female vocals, male vocals, high quality,
        studio recording, mix, production, verse and chorus, intro, outro, beautiful, nice, original, modern, vintage,
        retro, 80s, 90s, masterpiece, melodic, simple, rich, lush, clean, clear, wide stereo, well mixed, great,
        about love, about summer, for a movie, for dancing, at night, in the city, on the road, with harmony, bass,
        guitar, keys, dreamy, cool, smooth, vibe, style, mood, sound, 노래, 음악, 곡, 연주곡, 음악 만들어 줘,
        여성 보컬, 남성 보컬, 音乐, 歌曲, 曲子, 女声, 男声, 器乐
        """)
"""What people write beside it, which changes nothing."""


def every_word() -> tuple[str, ...]:
    """All words of the table, in its order, each once: the tokens that the text encoder's tokenizer has in addition."""
    groups = (
        *STYLE_WORDS.values(), *EASTERN_WORDS.values(), *MOOD_WORDS.values(),
        WITH_DRUMS, WITHOUT_DRUMS, WITH_LEAD, WITHOUT_LEAD, FILLERS,
    )  # fmt: skip
    return tuple(dict.fromkeys(word for group in groups for phrase in group for word in phrase.split()))
