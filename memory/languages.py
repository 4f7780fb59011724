"""What a language is known by: its function words, its script, its Snowball stemmer."""

DEFAULT = "en"

SNOWBALL = {
    "en": "english", "de": "german", "fr": "french", "es": "spanish", "it": "italian", "pt": "portuguese",
    "nl": "dutch", "sv": "swedish", "da": "danish", "no": "norwegian", "nb": "norwegian", "fi": "finnish",
    "hu": "hungarian", "ro": "romanian", "tr": "turkish", "pl": "polish", "cs": "czech", "ca": "catalan",
    "eu": "basque", "et": "estonian", "ga": "irish", "id": "indonesian", "lt": "lithuanian", "sr": "serbian",
    "ru": "russian", "el": "greek", "ar": "arabic", "hi": "hindi", "ta": "tamil", "hy": "armenian",
    "yi": "yiddish",
}  # fmt: skip

# The first word of a character's name in Unicode → the language that most who write so speak.
SCRIPTS = {
    "CYRILLIC": "ru", "GREEK": "el", "ARABIC": "ar", "DEVANAGARI": "hi", "TAMIL": "ta", "ARMENIAN": "hy",
    "HEBREW": "he",
}  # fmt: skip

_WORDS = {
    "en": """i me my myself we our ours ourselves you your yours yourself yourselves he him his himself she her hers
        herself it its itself they them their theirs themselves what which who whom this that these those am is are was
        were be been being have has had having do does did doing would should could ought a an the and but if or
        because as until while of at by for with about against between into through during before after above below to
        from up down in out on off over under again further then once here there when where why how all any both each
        few more most other some such no nor not only own same so than too very will shall can may might must just also
        let don't i'm you're he's she's it's we're they're i've you've we've they've i'd you'd he'd she'd we'd they'd
        i'll you'll he'll she'll we'll they'll isn't aren't wasn't weren't hasn't haven't hadn't doesn't didn't won't
        wouldn't can't cannot couldn't shouldn't mustn't let's that's who's what's here's there's when's where's why's
        how's""",
    "de": """ich du er sie es wir ihr mich mir dich dir ihn ihm uns euch ihnen mein meine meinen meinem meiner dein
        deine deinen sein seine seinen ihre ihren unser unsere der die das den dem des ein eine einen einem einer eines
        und oder aber denn weil dass ob wenn als wie wo wer was wann warum welche welcher welches ist sind bin bist
        war waren wird werden wurde worden hat habe haben hatte hatten kann kannst können konnte muss musst müssen soll
        will nicht kein keine auch nur noch schon sehr mit von zu zum zur bei nach aus auf an am im in für über unter
        vor durch gegen ohne um so dann da hier dort mal doch ja""",
    "fr": """je tu il elle nous vous ils elles on me te se moi toi lui leur leurs mon ma mes ton ta tes son sa ses
        notre nos votre vos le la les un une des du de d l et ou mais donc car que qui quoi dont où quand comment
        pourquoi quel quelle quels quelles est sont suis es était étaient être été ai as a avons avez ont avait avoir
        pas ne plus aussi très dans sur sous avec sans pour par en au aux ce cet cette ces ça c'est j'ai n'est qu'il
        qu'elle si comme y""",
    "es": """yo tú él ella nosotros vosotros ellos ellas usted ustedes me te se nos os lo le les mi mis tu tus su sus
        nuestro nuestra el la los las un una unos unas y o pero porque que qué quién cuál cuándo dónde cómo cuánto es
        son soy eres era eran ser sido está están estoy estaba fue he has ha hemos han había haber tengo tiene no ni
        también muy más en de del al a con sin por para sobre entre hasta desde este esta estos estas ese esa eso esto
        si como ya cuando donde""",
    "it": """io tu lui lei noi voi loro mi ti si ci vi mio mia miei mie tuo tua suo sua nostro nostra il lo la i gli
        le un uno una e o ma perché che chi cosa quale quando dove come quanto è sono sei era erano essere stato ho hai
        ha abbiamo avete hanno aveva avere non né anche molto più di del della dei delle a al alla da dal dalla in nel
        nella con su sul per tra fra questo questa questi queste quello quella se già""",
    "pt": """eu tu ele ela nós vocês você eles elas me te se nos lhe meu minha meus minhas teu tua seu sua nosso nossa
        o a os as um uma uns umas e ou mas porque que quem qual quando onde como quanto é são sou era eram ser sido
        está estão estou estava foi tenho tem temos têm tinha não nem também muito mais de do da dos das em no na nos
        nas com sem por para pelo pela sobre entre até este esta estes estas esse essa isso isto se já""",
    "nl": """ik jij je hij zij ze wij we jullie mij me jou hem haar ons hen mijn jouw zijn onze hun de het een en of
        maar want omdat dat die dit deze wat wie waar wanneer waarom hoe welke is ben bent was waren wordt worden werd
        heb hebt heeft hebben had hadden kan kunnen moet zal niet geen ook nog al heel zeer met van voor door bij naar
        uit op aan in onder over tegen zonder om dan er hier daar toen als te""",
    "sv": """jag du han hon vi ni de mig dig honom henne oss er dem min mitt mina din ditt dina sin sitt sina vår vårt
        den det en ett och eller men för att som om när var vad vem varför hur vilken är var vara varit har hade ha kan
        ska skulle vill inte ingen också mycket med av från till på i under över mot utan vid så då här där denna
        detta""",
    "da": """jeg du han hun vi i de mig dig ham hende os jer dem min mit mine din dit dine sin sit vores den det en et
        og eller men fordi at som hvis når hvor hvad hvem hvorfor hvordan hvilken er var være været har havde kan skal
        vil ikke ingen også meget med af fra til på under over mod uden ved så da her der denne dette""",
    "no": """jeg du han hun vi dere de meg deg ham henne oss dem min mitt mine din ditt dine sin sitt vår den det en et
        ei og eller men fordi at som hvis når hvor hva hvem hvorfor hvordan hvilken er var være vært har hadde kan skal
        vil ikke ingen også veldig med av fra til på under over mot uten ved så da her der denne dette""",
    "fi": """minä sinä hän me te he minun sinun hänen meidän teidän heidän se ne tämä nämä tuo joka mikä kuka missä
        milloin miksi miten kun ja tai mutta koska että jos on ovat olen olet oli olivat olla ollut ei en et eivät myös
        hyvin kanssa niin sitten""",
    "pl": """ja ty on ona my wy oni mnie mi ciebie ci jego jej nas was ich mój moja moje twój twoja swój i lub ale bo
        że czy jeśli jak gdzie kiedy dlaczego kto co który która które jest są jestem był była było być mam ma mają nie
        też bardzo z ze w we na do od po za przez dla o u się to ten ta te tak już""",
    "tr": """ben sen o biz siz onlar bana sana bizim benim senin onun bu şu ve veya ama çünkü ki ne kim nerede zaman
        neden nasıl hangi mi mı mu mü değil var yok de da çok daha için ile gibi kadar bir""",
    "ro": """eu tu el ea noi voi ei ele mă te se meu mea mei tău ta său sa nostru un o și sau dar pentru că ce cine care
        când unde cum cât este sunt ești era fi fost am ai are avem au nu nici foarte mai de la în pe cu fără din să""",
    "hu": """én te ő mi ti ők engem téged az a egy és vagy de mert hogy ha mint hol mikor miért ki mit melyik van vannak
        volt voltak lenni nem is nagyon csak már még ez ezt azt""",
    "cs": """já ty on ona my vy oni mě mi tebe ti jeho její nás vás jejich můj moje tvůj svůj a nebo ale protože že
        jestli když kde kdy proč kdo co který která je jsou jsem jsi byl byla bylo být mám má ne také velmi s z v ve na
        do od po za pro o u se to ten ta ty tak už""",
    "id": """saya aku kamu anda dia kami kita mereka ini itu dan atau tetapi karena bahwa jika apa siapa mana kapan
        mengapa bagaimana adalah ada tidak bukan juga sangat dengan dari untuk di ke pada yang sudah akan""",
    "ru": """я ты он она мы вы они меня мне тебя тебе его ему её ей нас нам вас вам их им мой моя моё мои твой твоя
        свой наш ваш и или но а потому что если как где когда почему кто чей какой какая какие есть был была было были
        быть не ни тоже очень с со в во на до от по за из для о об у к это этот эта эти тот так уже же ли бы""",
}

FUNCTION_WORDS: dict[str, tuple[str, ...]] = {}
for _language, _text in _WORDS.items():
    for _word in _text.split():
        FUNCTION_WORDS[_word] = (*FUNCTION_WORDS.get(_word, ()), _language)
