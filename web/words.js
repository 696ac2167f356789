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
  makeSong: ["Make a song", "노래 만들기", "写一首歌"],
  makeHow: [
    "Say what it sounds like. Change anything, then run.",
    "어떤 소리인지 적고, 마음대로 바꾼 다음 만드세요.",
    "描述它听起来怎样，随意修改，然后生成。",
  ],
  lyricsTaken: ["The lyrics are in the song", "가사를 곡에 넣었습니다", "歌词已放入歌曲"],
  noGraph: [
    "This file is no workflow and no song record; your graph is still here.",
    "워크플로도 곡 기록도 아닌 파일입니다. 열려 있던 워크플로는 그대로 있습니다.",
    "该文件既不是工作流也不是歌曲记录；你的工作流仍在。",
  ],
  models: ["Models", "모델", "模型"],
  onCard: ["On this machine: {0}, {1}", "이 컴퓨터: {0}, {1}", "本机：{0}，{1}"],
  modelsHere: ["Here", "있는 모델", "已有"],
  modelsMore: ["To download", "내려받을 수 있는 모델", "可下载"],
  modelsMain: ["All for a first song (turbo)", "첫 곡에 필요한 전부(turbo)", "第一首歌所需（turbo）"],
  noModels: [
    "No models yet. Until then the built-in test model makes noise, so that you can see how everything works.",
    "아직 모델이 없습니다. 그때까지는 내장 테스트 모델이 노이즈를 만들어 어떻게 움직이는지만 볼 수 있습니다.",
    "还没有模型。在此之前，内置测试模型只会生成噪声，用来看流程。",
  ],
  onlyTest: [
    "Only the test model is here. It makes noise, so that you can see how things work.",
    "테스트 모델만 있습니다. 노이즈만 나오며, 어떻게 움직이는지 볼 수 있습니다.",
    "目前只有测试模型，它只会生成噪声，用来看流程。",
  ],
  getModel: ["Get", "받기", "下载"],
  getModels: ["Get a model", "모델 받기", "下载模型"],
  isHere: ["Here", "있음", "已有"],
  verify: ["Verify", "확인", "校验"],
  fits: ["Fits, songs up to {0}", "사용 가능, 최대 {0}", "可用，最长 {0}"],
  tooLarge: ["Too large for this card", "이 그래픽 카드에는 너무 큽니다", "超出本机显存"],
  places: ["Where models are looked for", "모델을 찾는 곳", "查找模型的位置"],
  pauseIt: ["Pause", "일시 정지", "暂停"],
  goOn: ["Go on", "이어서", "继续"],
  workingOn: ["working…", "진행 중…", "进行中……"],
  job_done: ["done", "완료", "完成"],
  job_paused: ["paused", "일시 정지됨", "已暂停"],
  job_failed: ["failed.", "실패.", "失败。"],
  gallery: ["What do you want to do?", "무엇을 할까요?", "想做什么？"],
  galleryShort: ["Workflows", "워크플로", "工作流"],
  doorForm: ["Form", "폼", "表单"],
  doorGraph: ["Graph", "그래프", "图"],
  openForm: ["{0}: open form", "{0}: 폼 열기", "{0}：打开表单"],
  openGraphOf: ["{0}: open graph", "{0}: 그래프 열기", "{0}：打开图"],
  sound: ["Sound", "사운드", "声音"],
  soundTip: [
    "Genre, instruments, voice, mood; no lyrics here",
    "장르, 악기, 목소리, 분위기. 가사는 여기에 적지 않습니다",
    "流派、乐器、嗓音、情绪；歌词不写在这里",
  ],
  lyricsHow: [
    "Sections in brackets: [Verse], [Chorus]. Empty makes an instrumental.",
    "[Verse], [Chorus]처럼 대괄호로 구간을 나눕니다. 비우면 연주곡이 됩니다.",
    "用方括号分段：[Verse]、[Chorus]。留空则为纯音乐。",
  ],
  auto: ["Auto", "자동", "自动"],
  autoTip: ["Empty: the model decides", "비우면 모델이 정합니다", "留空则由模型决定"],
  takesHow: ["Takes", "테이크 수", "版本数"],
  think: ["Think first", "먼저 계획", "先规划"],
  thinkHow: [
    "A plan before the sound. Slower, clearer.",
    "소리를 내기 전에 계획합니다. 느리지만 또렷합니다.",
    "先规划再生成，较慢但更清晰。",
  ],
  lyricTimes: ["Lyric times", "싱크 가사", "歌词时间"],
  lyricTimesHow: ["Words run along while it plays.", "재생하면 가사가 따라갑니다.", "播放时歌词同步滚动。"],
  scoreTakes: ["Score takes", "테이크 채점", "版本评分"],
  scoreTakesHow: ["Stars for lyrics and match.", "가사와 일치도에 별점을 줍니다.", "为歌词和契合度打分。"],
  scoreNeeds: ["Needs Think first or Lyric times", "먼저 계획 또는 싱크 가사가 필요합니다", "需要先规划或歌词时间"],
  advanced: ["Advanced", "고급", "高级"],
  advancedWords: ["Memory, meter, seed, file format", "메모리, 박자, 시드, 파일 형식", "显存、拍号、种子、文件格式"],
  showAdvanced: ["Show advanced", "고급 설정 보기", "显示高级选项"],
  hideAdvanced: ["Hide advanced", "고급 설정 숨기기", "隐藏高级选项"],
  memory: ["Memory of the card", "그래픽 카드 메모리", "显存"],
  seedShort: ["Seed", "시드", "种子"],
  seedEach: ["New seed each time", "매번 새 시드", "每次换种子"],
  fileFormat: ["File format", "파일 형식", "文件格式"],
  showGraph: ["Show graph", "워크플로 보기", "查看工作流"],
  make: ["Make song", "노래 만들기", "生成歌曲"],
  making: ["Making… press to cancel", "만드는 중… 누르면 취소", "生成中……点击取消"],
  takesOf: ["{0} × {1}", "{0}곡 × {1}", "{0} × {1}"],
  lengthAuto: ["length decided by the model", "길이는 모델이 정함", "时长由模型决定"],
  badLength: [
    "Write the length as 1:30 or in seconds.",
    "길이는 1:30처럼 적거나 초로 적으세요.",
    "时长请写成 1:30 或秒数。",
  ],
  badNumber: ["Write a whole number, or leave it empty.", "정수를 적거나 비워 두세요.", "请写整数，或留空。"],
  exampleCaption: [
    "dreamy synth pop, airy female vocals, warm analog pads, gentle drum machine, nostalgic",
    "잔잔한 어쿠스틱 발라드, 따뜻한 여성 보컬, 나일론 기타, 부드러운 스트링",
    "梦幻合成器流行，空灵女声，温暖的模拟音色，轻柔鼓机，怀旧",
  ],
  exampleLyrics: [
    "[Verse]\nCity lights are fading slow\nFootsteps where the rivers go\n\n[Chorus]\nHold the night a little more\nLeave the moon outside the door",
    "[Verse]\n가로등 아래 젖은 골목을 지나\n너의 창가에 불이 켜질 때\n\n[Chorus]\n오늘 밤은 여기 머물게\n달빛은 문밖에 두고 올게",
    "[Verse]\n城市的灯慢慢变暗\n脚步沿着河水走远\n\n[Chorus]\n让今夜再停留一点\n把月光留在门外边",
  ],
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

/** What a word is in English, for texts that were not translated by us. */
export function inEnglish(key) {
  return WORDS[key][0];
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
