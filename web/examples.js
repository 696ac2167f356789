// Example requests for songs, written for this project; Random takes one of them.

/** Language of the canvas -> `[language of the song, caption, lyrics]`. */
const EXAMPLES = {
  en: [
    [
      "en",
      "dreamy synth pop, airy female vocals, warm analog pads, gentle drum machine, nostalgic",
      "[Verse]\nStreetcars hum along the shore\nSalt is drying on the door\nYou were humming something low\nOnly summer seemed to know\n\n[Chorus]\nKeep the window open wide\nLet the evening come inside",
    ],
    [
      "en",
      "folk, fingerpicked acoustic guitar, upright bass, close male voice, brushed drums, hopeful",
      "[Verse]\nMy father mapped the orchard rows\nIn pencil on the barn\nI read them when the north wind blows\nAnd keep the blossoms warm\n\n[Chorus]\nOh the roots go down, go down\nDeeper than the frost",
    ],
    [
      "en",
      "funk, slap bass, tight drums, wah guitar, horn stabs, playful female lead, 1970s",
      "[Verse]\nMonday had me by the sleeve\nTuesday told me not to leave\nWednesday lost its only shoe\nThursday danced right into you\n\n[Hook]\nFriday, don't you make me wait\nI've been ready since I was late",
    ],
    [
      "en",
      "cinematic rock, soaring guitars, big toms, male vocals, slow build to a wide chorus",
      "[Verse]\nAll the maps have lost their ink\nWe are closer than we think\n\n[Pre-Chorus]\nHear the engines of the rain\n\n[Chorus]\nRise up over the water\nRise up over the wall",
    ],
    ["unknown", "ambient, slow tape loops, felt piano, distant birds, no drums, calm", null],
  ],
  ko: [
    [
      "ko",
      "시티팝, 부드러운 여성 보컬, 펑키한 베이스, 반짝이는 신스, 밤 드라이브 분위기",
      "[Verse]\n강변북로 불빛 따라\n라디오를 조금 키우고\n말없이 웃던 너의 옆얼굴\n창에 비친 그 여름밤\n\n[Chorus]\n멀리 가자 이 밤이 다 가기 전에\n파도 소리 들릴 때까지",
    ],
    [
      "ko",
      "잔잔한 발라드, 피아노와 첼로, 남성 보컬, 후렴에서 커지는 스트링",
      "[Verse]\n네가 두고 간 우산을\n아직 현관에 세워 뒀어\n비 오는 날이면 괜히\n문 앞을 서성이곤 해\n\n[Chorus]\n돌아오지 않아도 괜찮아\n젖지 않고 걷고 있다면",
    ],
    [
      "ko",
      "경쾌한 인디 록, 청량한 기타, 빠른 드럼, 밝은 여성 보컬",
      "[Verse]\n알람보다 먼저 깬 아침\n자전거에 바람을 넣고\n골목 끝 빵집 향기까지\n오늘은 내 편인 것 같아\n\n[Chorus]\n달려 봐 오르막도 좋아\n저 너머엔 바다가 있어",
    ],
    ["unknown", "로파이 힙합, 먼지 낀 피아노 샘플, 느긋한 드럼, 빗소리, 보컬 없음", null],
  ],
  zh: [
    [
      "zh",
      "城市流行，温柔女声，律动贝斯，明亮合成器，夏夜氛围",
      "[Verse]\n末班地铁开过江边\n耳机里还放着从前\n你说海风没有时间\n我把它写在袖口里面\n\n[Chorus]\n慢一点 让灯火再亮一点\n这条路我想和你走很远",
    ],
    [
      "zh",
      "国风抒情，古筝与笛子，弦乐铺底，清澈女声，副歌渐强",
      "[Verse]\n青石板上雨初停\n纸伞收起半山云\n茶烟绕过旧窗棂\n谁在桥头问归程\n\n[Chorus]\n等一场花开 等一声钟\n等你归来 不问西东",
    ],
    [
      "zh",
      "独立民谣，木吉他，口琴，质朴男声，温暖",
      "[Verse]\n爷爷的收音机坏了\n我学着拧紧每颗螺丝\n沙沙声里传来一句\n明天是个好天气\n\n[Chorus]\n慢慢走 别着急\n稻子黄了就回去",
    ],
    ["unknown", "氛围电子，缓慢的合成器长音，轻柔钢琴，远处的雨声，无人声", null],
  ],
};

/** Another example than the caption that stands there, as values of a song's inputs; the rest is left to the models. */
export function example(language, now) {
  const all = EXAMPLES[language.slice(0, 2)] ?? EXAMPLES.en;
  const others = all.filter(([, caption]) => caption !== now);
  const [code, caption, lyrics] = others[Math.floor(Math.random() * others.length)];
  return {
    caption,
    lyrics: lyrics ?? "",
    instrumental: lyrics === null,
    language: code,
    bpm: 0,
    keyscale: "auto",
    timesignature: "auto",
  };
}
