"""Names of drugs, told by a short list of our own and by the stems of nonproprietary names.

Source of the stems: WHO, "The use of stems in the selection of International Nonproprietary Names".
"""

from __future__ import annotations

import re

_DRUG_STEMS = re.compile(
    r"\w{3,}(?:mab|[a-z]ib|platin|taxel|rubicin|mycin|tecan|abine|ribine|mustine|lutamide|lidomide|fosfamide"
    r"|phosphamide|trexate|trexed|relin|relix|lugolix|strozole|trozole|oxifen|oxifene|estrant|setron|pitant"
    r"|dronate|dronic|grastim|plostim|poetin|leucel|feron|leukin|vedotin|ozogamicin|deruxtecan|tansine"
    r"|limus|degib|clax|inostat|purine|thioguanine|citidine|bulin|pilone|aspar(?:agin)?ase|ercept|fusp|vec"
    r"|sertib|profen|cillin|cycline|floxacin|conazole|prazole|statin|sartan|olol|parin|edrone|isone|solone"
    r"|asone|ciclovir|cyclovir|perazine|pramide|oxetine|azepam|azolam|gabalin|codone|morphone|xanthrone"
    r"|poside|blastine|cristine|relbine|terone|mesine|tretin|arotene|rexate|lomide|tidylic)"
)
_NO_DRUGS_LISTED = """
brachytherapy subtype prescrib describ attrib contrib inhib prohib exhib vinyl medicine
"""
_NO_DRUGS = frozenset(_NO_DRUGS_LISTED.split())
_DRUGS_LISTED = """
abiraterone acetaminophen adriamycin aldesleukin allopurinol amifostine anastrozole aprepitant arsenic
arimidex aromasin aspirin atropine avastin azacitidine bactrim bcg bleomycin blincyto busulfan caffeine
cannabidiol carmustine casodex celebrex chlorambucil cisplatin cladribine codeine compazine coumadin
cyclophosphamide cyclosporine cymbalta cytoxan dacarbazine dactinomycin daratumumab decadron decitabine
dexamethasone dexrazoxane digoxin diphenhydramine docetaxel doxil doxorubicin dronabinol duloxetine
eflornithine eliquis eloxatin emend enzalutamide epinephrine erbitux erivedge estradiol estrogen etoposide
everolimus exemestane famotidine faslodex femara fentanyl filgrastim finasteride fludarabine fluorouracil
flutamide folinic fulvestrant furosemide gabapentin gemcitabine gemzar gleevec glucarpidase goserelin
halaven haloperidol heparin herceptin hydrocortisone hydroxyurea ibrance ibuprofen ifosfamide imatinib
imbruvica imdelltra imfinzi imiquimod imodium insulin interferon irinotecan ixabepilone jevtana kadcyla
keytruda kisqali kyprolis kytril lanreotide lapatinib lasix lenalidomide letrozole leucovorin leukeran
leuprolide levothyroxine lidocaine lomustine loperamide lorazepam lupron lutetium lynparza megestrol
melatonin melphalan mercaptopurine mesna metformin methadone methotrexate methylphenidate metoclopramide
midostaurin mitomycin mitotane mitoxantrone morphine naloxone naproxen naltrexone neulasta neupogen nexavar
nilutamide nivolumab nolvadex octreotide olanzapine olaparib ondansetron opdivo oxaliplatin oxycodone
paclitaxel palbociclib palifermin palonosetron pamidronate panitumumab paraplatin pegaspargase pembrolizumab
pemetrexed perjeta phenytoin plerixafor prednisolone prednisone procarbazine progesterone prograf
propranolol radium raloxifene rasburicase reglan revlimid rifampin ritalin rituxan rituximab
sandostatin selinexor senna sildenafil sipuleucel sorafenib sprycel sunitinib sutent tacrolimus tagrisso
tamoxifen tarceva targretin tasigna taxol taxotere tecentriq temodar temozolomide tazemetostat testosterone
thalidomide thioguanine thiotepa topotecan toremifene trabectedin tramadol trastuzumab treosulfan tretinoin
trifluridine tipiracil triptorelin tykerb tylenol valrubicin vectibix velcade venetoclax verzenio
vinblastine vincristine vinorelbine vorinostat votrient warfarin xeloda xgeva xofigo xtandi yervoy zelboraf
zofran zoladex zoledronic zometa zytiga belinostat bexarotene cabozantinib defibrotide eltrombopag emtansine
iobenguane lurbinectedin mechlorethamine methylnaltrexone mepesuccinate omacetaxine romidepsin romiplostim
belzutifan xpovio nirogacestat revumenib talimogene tebentafusp
"""
_DRUGS = frozenset(_DRUGS_LISTED.split())


def is_drug(key: str) -> bool:
    """Whether a word is the name of a drug, or formed like one."""
    key = key.removesuffix("'s")
    if key in _DRUGS:
        return True
    return len(key) > 5 and key not in _NO_DRUGS and bool(_DRUG_STEMS.fullmatch(key))
