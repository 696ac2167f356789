// The widgets' own words in three languages. Others read English.

import { app } from "../../scripts/app.js";

const WORDS = {
  empty: [
    "Press Run. Your song appears here.",
    "실행을 누르면 여기에 곡이 나타납니다.",
    "点击运行，歌曲会显示在这里。",
  ],
  waveLater: ["Waveform is being made", "파형을 만드는 중입니다", "正在生成波形"],
  untitled: ["Song", "곡", "歌曲"],
  testModel: [
    "This song was made by the test model: it is noise.",
    "테스트 모델이 만든 곡이라 노이즈만 들립니다.",
    "这首歌由测试模型生成，只是噪声。",
  ],
  testHow: [
    "Put real models into models/acestep, or run “acestep models download”.",
    "models/acestep에 실제 모델을 넣거나 'acestep models download'를 실행하세요.",
    "请把真正的模型放进 models/acestep，或运行“acestep models download”。",
  ],
  previous: ["Previous take", "이전 테이크", "上一个版本"],
  next: ["Next take", "다음 테이크", "下一个版本"],
  take: ["Take {0}", "테이크 {0}", "版本 {0}"],
  best: ["best", "최고", "最佳"],
  takes: ["Takes", "테이크", "版本"],
  more: ["More", "더 보기", "更多"],
  play: ["Play", "재생", "播放"],
  pause: ["Pause", "일시 정지", "暂停"],
  loop: ["Loop", "반복", "循环"],
  volume: ["Volume", "음량", "音量"],
  mute: ["Mute", "음소거", "静音"],
  compare: [
    "Compare two takes at equal loudness: the first press marks A, the next ones swap",
    "두 테이크를 같은 음량으로 비교합니다. 처음 누르면 A로 정하고, 다시 누르면 바꿉니다",
    "以相同响度比较两个版本：第一次点击标记 A，之后切换",
  ],
  equal: ["equal loudness", "같은 음량", "等响度"],
  position: ["Position", "위치", "位置"],
  lyrics: ["Lyrics", "가사", "歌词"],
  match: ["Match", "일치", "契合"],
  lyricsTip: [
    "How clearly the words are sung, 0 to 1",
    "가사를 얼마나 또렷하게 부르는지, 0~1",
    "歌词唱得有多清楚，0 到 1",
  ],
  matchTip: [
    "How well the song fits its description, in the language model's opinion, 0 to 1",
    "언어 모델이 보기에 곡이 설명과 얼마나 맞는지, 0~1",
    "语言模型认为歌曲与描述的契合度，0 到 1",
  ],
  stars: ["{0} of 5 stars", "별 5개 중 {0}개", "{0} 星（满分 5 星）"],
  noTimes: ["No lyric times yet", "가사 싱크가 아직 없습니다", "还没有歌词时间"],
  toLine: ["Play from here: {0}", "여기부터 재생: {0}", "从这里播放：{0}"],
  seed: ["Seed {0}", "시드 {0}", "种子 {0}"],
  copySeed: ["Copy the seed", "시드 복사", "复制种子"],
  copied: ["Copied", "복사됨", "已复制"],
  instrumental: ["Instrumental", "연주곡", "纯音乐"],
  cover: ["Cover", "커버", "翻唱"],
  repaint: ["Repaint", "다시 그리기", "重绘"],
  extend: ["Extend", "늘이기", "延长"],
  layer: ["Add layer", "트랙 추가", "加轨"],
  reference: ["Reference", "참고 음원", "参考"],
  score: ["Score", "점수", "评分"],
  lrc: ["LRC", "LRC", "LRC"],
  save: ["Save", "저장", "保存"],
  saved: ["Saved", "저장됨", "已保存"],
  reuse: ["Reuse", "재사용", "复用"],
  reused: ["Done", "완료", "完成"],
  download: ["Download", "내려받기", "下载"],
  isSaved: ["It is in the output folder already", "이미 출력 폴더에 있습니다", "已在输出文件夹中"],
  needsLyrics: ["Needs lyrics", "가사가 있어야 합니다", "需要歌词"],
  zip: ["All as ZIP", "모두 ZIP으로", "全部打包为 ZIP"],
  openGraph: ["Open its graph", "워크플로 열기", "打开它的工作流"],
  keys: ["Keys", "단축키", "快捷键"],
  keyList: [
    "Space play · ← → 5 s, Shift 1 s · ↑ ↓ line · Home End · [ ] take · 1–8 take · L loop · A mark, X swap · M mute · + − volume · S save",
    "Space 재생 · ← → 5초, Shift 1초 · ↑ ↓ 줄 · Home End · [ ] 테이크 · 1–8 테이크 · L 반복 · A 표시, X 교체 · M 음소거 · + − 음량 · S 저장",
    "空格 播放 · ← → 5 秒，Shift 1 秒 · ↑ ↓ 行 · Home End · [ ] 版本 · 1–8 版本 · L 循环 · A 标记，X 切换 · M 静音 · + − 音量 · S 保存",
  ],
  expand: ["Open large", "크게 보기", "放大"],
  close: ["Close", "닫기", "关闭"],
  plan: ["Plan", "계획", "规划"],
  codes: ["Audio codes", "오디오 코드", "音频代码"],
  codesCount: ["{0} at 5 per second", "초당 5개, 모두 {0}개", "每秒 5 个，共 {0} 个"],
  copyCodes: ["Copy", "복사", "复制"],
  times: ["Times", "시간", "用时"],
  model: ["Model", "모델", "模型"],
  stage_codes: ["Codes", "오디오 코드", "音频代码"],
  stage_plan: ["Plan", "계획", "规划"],
  stage_lm: ["Language model", "언어 모델", "语言模型"],
  stage_encode: ["Encode", "인코드", "编码"],
  stage_condition: ["Condition", "조건", "条件"],
  stage_sample: ["Render", "생성", "生成"],
  stage_decode: ["Decode", "디코드", "解码"],
  bpm: ["Tempo", "템포", "速度"],
  caption: ["Caption", "캡션", "描述"],
  duration: ["Length", "길이", "时长"],
  keyscale: ["Key", "조성", "调性"],
  language: ["Language", "언어", "语言"],
  timesignature: ["Meter", "박자", "拍号"],
  steps: ["Steps", "스텝 수", "步数"],
  lm: ["Language model", "언어 모델", "语言模型"],
  lora: ["LoRA", "LoRA", "LoRA"],
  running: ["Making the next songs", "다음 곡을 만드는 중", "正在制作新歌曲"],
  step: ["Step {0} of {1}", "{1}스텝 중 {0}", "第 {0} 步，共 {1} 步"],
  cancel: ["Cancel", "취소", "取消"],
  judging: ["Listening…", "듣는 중…", "正在聆听…"],
  failed: ["That did not work: {0}", "되지 않았습니다: {0}", "未成功：{0}"],
  ready: ["{0} songs are ready", "{0}곡이 준비되었습니다", "{0} 首歌曲已就绪"],
  runFailed: [
    "The run stopped with an error. The last good songs stay here.",
    "오류로 실행이 멈췄습니다. 마지막으로 만든 곡은 그대로 남아 있습니다.",
    "运行因错误停止。上一批歌曲仍保留在这里。",
  ],
  gone: ["The file was moved or deleted", "파일이 옮겨졌거나 삭제되었습니다", "文件已被移动或删除"],
  minutes: ["{0} of {1}", "{1} 중 {0}", "{0}，共 {1}"],
  copyText: ["Copy the text", "텍스트 복사", "复制文本"],
  nothing: ["The text is empty.", "텍스트가 비어 있습니다.", "文本为空。"],
  noText: [
    "Press Run. The text appears here.",
    "실행을 누르면 여기에 텍스트가 나타납니다.",
    "点击运行，文本会显示在这里。",
  ],
  lyricsHere: ["Words to sing. Type [ for sections.", "부를 가사를 쓰세요. [ 를 치면 구간을 고를 수 있습니다.", "写下要唱的歌词。输入 [ 可选择段落。"],
  tags: ["Sections", "구간", "段落"],
  tokens: ["{0} of {1} tokens", "토큰 {0} / {1}", "{0} / {1} 个 token"],
  estimate: [
    "Estimated: there is no tokenizer of a model here yet",
    "추정치입니다. 모델의 토크나이저가 아직 없습니다",
    "估计值：这里还没有模型的分词器",
  ],
  unheard: ["the last {0} lines are not heard", "마지막 {0}줄은 반영되지 않습니다", "最后 {0} 行不会被读到"],
  sings: ["sings about {0}", "부르는 데 약 {0}", "约唱 {0}"],
  singsOf: ["sings about {0} of {1}", "{1} 중 약 {0} 노래", "约唱 {0}，共 {1}"],
  singsTip: [
    "An estimate from syllables and lines",
    "음절과 줄 수로 어림한 값입니다",
    "按音节和行数估计",
  ],
  leftOut: ["Instrumental: the lyrics are left out", "연주곡이라 가사는 쓰이지 않습니다", "纯音乐：不使用歌词"],
  oneHeading: ["1 heading can be cleaned", "정리할 수 있는 제목 1개", "1 个标题可以整理"],
  headings: ["{0} headings can be cleaned", "정리할 수 있는 제목 {0}개", "{0} 个标题可以整理"],
  otherwise: ["Some of it is read otherwise", "일부는 다르게 읽힙니다", "部分内容会以别的写法读取"],
  showChanges: ["Show", "보기", "查看"],
  clean: ["Clean", "정리", "整理"],
  random: ["Random", "무작위", "随机"],
  randomTip: ["Fill in an example request", "예시로 채웁니다", "填入一个示例"],
  format: ["Format", "다듬기", "润色"],
  formatTip: [
    "The language model rewrites caption and lyrics and fills what is open; what you set stays",
    "언어 모델이 캡션과 가사를 다듬고 빈 항목을 채웁니다. 정해 둔 값은 그대로입니다",
    "语言模型改写描述和歌词并补全未定项；已设定的保持不变",
  ],
  create: ["Create", "만들기", "创作"],
  createTip: [
    "The language model writes a whole song from one sentence, for you to change before it is rendered",
    "한 문장으로 언어 모델이 곡 전체를 씁니다. 생성하기 전에 고칠 수 있습니다",
    "语言模型根据一句话写出整首歌，生成前可以修改",
  ],
  createHint: ["What should the song be about?", "어떤 곡을 만들까요?", "想要一首什么样的歌？"],
  write: ["Write", "쓰기", "写"],
  writing: ["Writing… nothing is rendered yet", "쓰는 중… 아직 생성하지 않습니다", "正在写…尚未生成"],
  filled: ["Filled in. Change it, then run.", "채웠습니다. 고친 뒤 실행하세요.", "已填入。修改后再运行。"],
  undo: ["Undo", "되돌리기", "撤销"],
  takeOver: ["Edit as a Song", "곡으로 고치기", "作为歌曲编辑"],
  takeOverTip: [
    "Puts a Song node with all of this in the place of this one",
    "이 내용을 담은 곡 노드를 이 자리에 놓습니다",
    "用包含这些内容的歌曲节点替代此节点",
  ],
  given: ["given", "지정", "已指定"],
  free: ["model decides", "모델이 결정", "模型决定"],
  open: ["free", "자유", "不限"],
  asGiven: ["as given", "지정대로", "按指定"],
  keep: ["keep", "유지", "保留"],
  planAgain: ["Plan again", "다시 계획", "重新规划"],
  planning: ["Planning", "계획하는 중", "正在规划"],
  planReady: ["The plan is ready", "계획이 준비되었습니다", "规划已就绪"],
  render: ["Render", "생성", "生成"],
  planByWire: [
    "The plan comes from the connected text",
    "계획이 연결된 텍스트에서 옵니다",
    "规划来自所连接的文本",
  ],
};
const LANGUAGES = ["en", "ko", "zh"];

/** The language of the canvas, as a code that `Intl` and `lang` understand. */
export function language() {
  return app.extensionManager?.setting?.get("Comfy.Locale") || "en";
}

/** A word or sentence; what stands in `{0}`, `{1}` is given. */
export function say(key, ...given) {
  const entry = WORDS[key];
  const text = entry[Math.max(0, LANGUAGES.indexOf(language().slice(0, 2)))];
  return text.replace(/\{(\d)\}/g, (_, place) => given[place]);
}

export function known(key) {
  return key in WORDS;
}

/** A number as this language writes it. */
export function number(value, digits = 0) {
  return new Intl.NumberFormat(language(), { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(
    value,
  );
}

/** The name of a language. */
export function languageName(code) {
  try {
    return new Intl.DisplayNames([language()], { type: "language" }).of(code);
  } catch {
    return code;
  }
}
